output "function_name" {
  description = "Name of the function."
  value       = aws_lambda_function.this.function_name
}

output "mapping_id" {
  description = "Id of the event source mapping."
  value       = aws_lambda_event_source_mapping.stream.id
}

output "log_group_name" {
  description = "The function's log group."
  value       = aws_cloudwatch_log_group.this.name
}

output "dead_letter_queue_name" {
  description = "Name of the queue of records that could not be settled."
  value       = aws_sqs_queue.dead_letters.name
}

output "dead_letter_queue_url" {
  description = "Address of that queue."
  value       = aws_sqs_queue.dead_letters.url
}

output "api_url" {
  description = "Address of the API; with a certificate, point its host name there. null without the API."
  value       = one(module.api[*].url)
}

output "repository_url" {
  description = "Where to push the API's image to; null without the API."
  value       = one(module.api[*].repository_url)
}

output "cluster_name" {
  description = "Name of the ECS cluster; null without the API."
  value       = one(module.api[*].cluster_name)
}

output "service_name" {
  description = "Name of the ECS service; null before the first image."
  value       = one(module.api[*].service_name)
}

output "task_definition" {
  description = "ARN of the task definition that the service is to run; null before the first image."
  value       = one(module.api[*].task_definition)
}

output "api_image" {
  description = "The image that the service is to run; null before the first one."
  value       = var.api_image
}

output "served_image" {
  description = "The image that served last, which sweeps run; null before the first."
  value       = var.served_image
}

output "architecture" {
  description = "Machine type that the image has to be built for."
  value       = var.architecture
}

output "region" {
  description = "Region that everything is in."
  value       = var.region
}

output "table_name" {
  description = "Name of the table."
  value       = module.table.name
}

output "function_name" {
  description = "Name of the stream Lambda."
  value       = module.stream_lambda.function_name
}

output "mapping_id" {
  description = "Id of the mapping from the stream to the Lambda."
  value       = module.stream_lambda.mapping_id
}

output "dead_letter_queue_url" {
  description = "Address of the queue of records that could not be settled."
  value       = module.stream_lambda.dead_letter_queue_url
}

output "dashboard_name" {
  description = "Name of the CloudWatch dashboard."
  value       = module.observability.dashboard_name
}

output "alarm_names" {
  description = "Names of all alarms."
  value       = module.observability.alarm_names
}

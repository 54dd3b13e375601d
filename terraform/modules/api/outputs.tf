output "url" {
  description = "Address of the API; a certificate's own host name is whatever points there."
  value       = "${local.https ? "https" : "http"}://${aws_lb.this.dns_name}"
}

output "repository_url" {
  description = "Where to push the API's image to."
  value       = aws_ecr_repository.this.repository_url
}

output "cluster_name" {
  description = "Name of the ECS cluster."
  value       = aws_ecs_cluster.this.name
}

output "service_name" {
  description = "Name of the ECS service; null as long as there is none."
  value       = try(local.service.name, null)
}

output "task_definition" {
  description = "ARN of the task definition that the service is to run; null as long as there is none."
  value       = one(aws_ecs_task_definition.this[*].arn)
}

output "log_group_name" {
  description = "Log group of the API and of its sweeps."
  value       = aws_cloudwatch_log_group.this.name
}

output "load_balancer_suffix" {
  description = "The load balancer's name in metrics."
  value       = aws_lb.this.arn_suffix
}

output "target_group_suffix" {
  description = "The target group's name in metrics."
  value       = aws_lb_target_group.this.arn_suffix
}

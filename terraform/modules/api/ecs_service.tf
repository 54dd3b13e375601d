# The service is there twice, and one of the two is made: Terraform cannot ignore a number of tasks by variable. With
# autoscaling the number is no longer Terraform's; without, it is. A test keeps everything else equal.

resource "aws_ecs_service" "this" {
  count = local.autoscaled ? 1 : 0

  name             = "${var.name}-api"
  cluster          = aws_ecs_cluster.this.id
  task_definition  = aws_ecs_task_definition.this[0].arn
  desired_count    = var.tasks_min
  launch_type      = "FARGATE"
  platform_version = "LATEST"

  # New tasks must be healthy before old ones go.
  deployment_minimum_healthy_percent = 100
  deployment_maximum_percent         = 200
  health_check_grace_period_seconds  = 30
  availability_zone_rebalancing      = "ENABLED"

  deployment_circuit_breaker {
    enable   = true
    rollback = true
  }

  network_configuration {
    subnets          = var.network.private_subnet_ids
    security_groups  = [aws_security_group.task.id]
    assign_public_ip = false
  }

  load_balancer {
    target_group_arn = aws_lb_target_group.this.arn
    container_name   = "api"
    container_port   = local.port
  }

  lifecycle {
    # The first is autoscaling's from then on; the second only some emulators do not report.
    ignore_changes = [desired_count, availability_zone_rebalancing]
  }

  # A target group that no listener uses cannot have a service; a task without permissions cannot start.
  depends_on = [aws_lb_listener.http, aws_lb_listener.https, aws_iam_role_policy.task, aws_iam_role_policy.execution]
}

resource "aws_ecs_service" "fixed" {
  count = var.image != null && !var.autoscaling ? 1 : 0

  name             = "${var.name}-api-fixed"
  cluster          = aws_ecs_cluster.this.id
  task_definition  = aws_ecs_task_definition.this[0].arn
  desired_count    = var.tasks_min
  launch_type      = "FARGATE"
  platform_version = "LATEST"

  # New tasks must be healthy before old ones go.
  deployment_minimum_healthy_percent = 100
  deployment_maximum_percent         = 200
  health_check_grace_period_seconds  = 30
  availability_zone_rebalancing      = "ENABLED"

  deployment_circuit_breaker {
    enable   = true
    rollback = true
  }

  network_configuration {
    subnets          = var.network.private_subnet_ids
    security_groups  = [aws_security_group.task.id]
    assign_public_ip = false
  }

  load_balancer {
    target_group_arn = aws_lb_target_group.this.arn
    container_name   = "api"
    container_port   = local.port
  }

  lifecycle {
    # Only some emulators do not report it.
    ignore_changes = [availability_zone_rebalancing]
  }

  # A target group that no listener uses cannot have a service; a task without permissions cannot start.
  depends_on = [aws_lb_listener.http, aws_lb_listener.https, aws_iam_role_policy.task, aws_iam_role_policy.execution]
}

locals {
  # Their names differ, so that the other one can be made before this one is gone.
  service = one(concat(aws_ecs_service.this, aws_ecs_service.fixed))
}

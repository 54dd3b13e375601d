locals {
  port   = 8000
  python = "/opt/venv/bin/python" # docker/api.Dockerfile

  # After SIGTERM a request in flight gets its deadline and 2 s to send the answer (api/server.py), and what was admitted
  # gets 10 s to be flushed. The rest is for starting and ending all that.
  drain_s        = ceil(var.operation_deadline_ms / 1000) + 2 + 10
  stop_timeout_s = local.drain_s + 8

  https = var.certificate_arn != null
}

resource "aws_ecr_repository" "this" {
  name                 = var.name
  image_tag_mutability = "IMMUTABLE"
  force_delete         = !var.deletion_protection

  image_scanning_configuration {
    scan_on_push = true
  }

  encryption_configuration {
    encryption_type = "KMS"
  }
}

resource "aws_cloudwatch_log_group" "this" {
  # checkov:skip=CKV_AWS_158:AWS's key encrypts it, and ids and numbers are all it holds.
  name              = "/ecs/${var.name}"
  retention_in_days = var.log_retention_days
}

resource "aws_ecs_cluster" "this" {
  name = var.name

  setting {
    name  = "containerInsights"
    value = "enabled"
  }
}

resource "aws_ecs_task_definition" "this" {
  count = var.image == null ? 0 : 1

  family                   = var.name
  requires_compatibilities = ["FARGATE"]
  network_mode             = "awsvpc"
  cpu                      = var.task_cpu
  memory                   = var.task_memory_mib
  execution_role_arn       = aws_iam_role.execution.arn
  task_role_arn            = aws_iam_role.task.arn

  runtime_platform {
    operating_system_family = "LINUX"
    cpu_architecture        = upper(var.architecture)
  }

  container_definitions = jsonencode([{
    name      = "api"
    image     = var.image
    essential = true

    portMappings           = [{ containerPort = local.port, protocol = "tcp" }]
    readonlyRootFilesystem = true
    stopTimeout            = local.stop_timeout_s

    linuxParameters = {
      # The kernel keeps signals from a first process that has not asked for them yet: docs/docker.md.
      initProcessEnabled = true
      capabilities       = { drop = ["ALL"] }
    }

    # Alive, not ready: that is the load balancer's question. ECS ignores what the image says about it.
    healthCheck = {
      command     = ["CMD", local.python, "-m", "api.probe", "/health"]
      interval    = 10
      timeout     = 3
      retries     = 3
      startPeriod = 15
    }

    environment = [for name, value in merge(local.environment, var.environment) : { name = name, value = value }]

    logConfiguration = {
      logDriver = "awslogs"
      options = {
        "awslogs-group"         = aws_cloudwatch_log_group.this.name
        "awslogs-region"        = var.region
        "awslogs-stream-prefix" = "api"
      }
    }
  }])
}

locals {
  environment = {
    AWS_REGION            = var.region
    HOST                  = "0.0.0.0"
    LOG_LEVEL             = var.log_level
    OPERATION_DEADLINE_MS = tostring(var.operation_deadline_ms)
    PORT                  = tostring(local.port)
    SERVICES_SLOTS        = tostring(var.services_slots)
    TABLE_NAME            = var.table_name
  }
}

resource "aws_ecs_service" "this" {
  count = var.image == null ? 0 : 1

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

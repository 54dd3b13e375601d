# Heals what drifted and reports how far best_effort and eventual are apart: python -m api.sweep, in a task of its own.
# It is of the image that served last: one that is just being tried must not heal.

resource "aws_ecs_task_definition" "sweep" {
  count = var.served_image == null ? 0 : 1

  family                   = "${var.name}-sweep"
  requires_compatibilities = ["FARGATE"]
  network_mode             = "awsvpc"
  cpu                      = var.task_cpu
  memory                   = var.task_memory_mib
  execution_role_arn       = aws_iam_role.execution.arn
  task_role_arn            = aws_iam_role.task.arn
  skip_destroy             = true # A sweep that has just been started goes on with it.

  runtime_platform {
    operating_system_family = "LINUX"
    cpu_architecture        = upper(var.architecture)
  }

  container_definitions = jsonencode([merge(local.container, {
    name    = "sweep"
    image   = var.served_image
    command = [local.python, "-m", "api.sweep"]

    environment = [
      # The metrics are made of what it logs on this level.
      for name, value in merge(local.environment, { LOG_LEVEL = "INFO" }, var.environment) : { name = name, value = value }
    ]

    # Metrics are made of its lines, so it waits until they are written rather than lose one.
    logConfiguration = merge(local.log, { options = merge(local.log.options, { mode = "blocking" }) })
  })])
}

resource "aws_scheduler_schedule" "sweep" {
  # checkov:skip=CKV_AWS_297:AWS's key encrypts it, and a command is all it holds.
  count = var.served_image == null ? 0 : 1

  name                = "${var.name}-sweep"
  description         = "Sweeps the counters of ${var.table_name}"
  schedule_expression = "rate(${var.sweep_interval_minutes} minutes)"

  flexible_time_window {
    mode = "OFF"
  }

  target {
    arn      = aws_ecs_cluster.this.arn
    role_arn = aws_iam_role.scheduler.arn

    ecs_parameters {
      task_definition_arn = aws_ecs_task_definition.sweep[0].arn
      launch_type         = "FARGATE"

      network_configuration {
        subnets          = var.network.private_subnet_ids
        security_groups  = [aws_security_group.task.id]
        assign_public_ip = false
      }
    }

    # The next one is as good as a late one.
    retry_policy {
      maximum_event_age_in_seconds = var.sweep_interval_minutes * 60
      maximum_retry_attempts       = 2
    }
  }

  # Without its permissions it would start nothing.
  depends_on = [aws_iam_role_policy.scheduler]
}

locals {
  scheduler_policy = {
    Version = "2012-10-17"
    Statement = [
      {
        Sid       = "RunTask"
        Effect    = "Allow"
        Action    = ["ecs:RunTask"]
        Resource  = ["arn:${local.partition}:ecs:${var.region}:${var.account_id}:task-definition/${var.name}-sweep:*"]
        Condition = { ArnEquals = { "ecs:cluster" = aws_ecs_cluster.this.arn } }
      },
      {
        Sid       = "PassRoles"
        Effect    = "Allow"
        Action    = ["iam:PassRole"]
        Resource  = [aws_iam_role.task.arn, aws_iam_role.execution.arn]
        Condition = { StringEquals = { "iam:PassedToService" = "ecs-tasks.amazonaws.com" } }
      },
    ]
  }

  partition = split(":", aws_ecs_cluster.this.arn)[1]
}

resource "aws_iam_role" "scheduler" {
  name        = "${var.name}-scheduler-${var.region}"
  description = "What the scheduler may do to sweep the counters of ${var.name}"

  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Action    = "sts:AssumeRole"
      Principal = { Service = "scheduler.amazonaws.com" }
      Condition = { StringEquals = { "aws:SourceAccount" = var.account_id } }
    }]
  })
}

resource "aws_iam_role_policy" "scheduler" {
  name   = "sweep"
  role   = aws_iam_role.scheduler.id
  policy = jsonencode(local.scheduler_policy)
}

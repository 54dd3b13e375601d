# Heals what drifted and reports how far best_effort and eventual are apart: python -m api.sweep, in a task of its own.

resource "aws_scheduler_schedule" "sweep" {
  # checkov:skip=CKV_AWS_297:AWS's key encrypts it, and a command is all it holds.
  count = var.image == null ? 0 : 1

  name                = "${var.name}-sweep"
  description         = "Sweeps the counters of ${var.table_name}"
  schedule_expression = "rate(${var.sweep_interval_minutes} minutes)"

  flexible_time_window {
    mode = "OFF"
  }

  target {
    arn      = aws_ecs_cluster.this.arn
    role_arn = aws_iam_role.scheduler.arn

    input = jsonencode({
      containerOverrides = [{
        name    = "api"
        command = [local.python, "-m", "api.sweep"]
        # The metrics are made of what it logs on this level.
        environment = [{ name = "LOG_LEVEL", value = "INFO" }]
      }]
    })

    ecs_parameters {
      task_definition_arn = aws_ecs_task_definition.this[0].arn
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
        Resource  = ["arn:${local.partition}:ecs:${var.region}:${var.account_id}:task-definition/${var.name}:*"]
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
  name        = "${var.name}-scheduler"
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

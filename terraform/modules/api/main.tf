locals {
  port   = 8000
  python = "/opt/venv/bin/python" # docker/api.Dockerfile

  # After SIGTERM a request in flight gets its deadline and 2 s to send the answer (api/serving/server.py), and what was admitted
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

# Old versions stay at hand for going back to, but not for ever: storage costs by size.
resource "aws_ecr_lifecycle_policy" "this" {
  repository = aws_ecr_repository.this.name

  policy = jsonencode({
    rules = [
      {
        rulePriority = 1
        description  = "Leftovers of pushes"
        selection    = { tagStatus = "untagged", countType = "sinceImagePushed", countUnit = "days", countNumber = 1 }
        action       = { type = "expire" }
      },
      {
        rulePriority = 2
        description  = "All but the last versions"
        selection    = { tagStatus = "any", countType = "imageCountMoreThan", countNumber = 100 }
        action       = { type = "expire" }
      },
    ]
  })
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
  skip_destroy             = true # A rollback goes to the version before.

  runtime_platform {
    operating_system_family = "LINUX"
    cpu_architecture        = upper(var.architecture)
  }

  container_definitions = jsonencode([merge(local.container, {
    name  = "api"
    image = var.image

    portMappings = [{ containerPort = local.port, protocol = "tcp" }]
    stopTimeout  = local.stop_timeout_s

    # Alive, not ready, like the load balancer's question. ECS ignores what the image says about it.
    healthCheck = {
      command     = ["CMD", local.python, "-m", "api.serving.probe", "/health"]
      interval    = 10
      timeout     = 3
      retries     = 3
      startPeriod = 15
    }

    environment = [for name, value in merge(local.environment, var.environment) : { name = name, value = value }]

    # When CloudWatch cannot be reached, the API loses lines rather than stop; no metric is made of its lines. 25 MiB hold
    # some 80,000 of them.
    logConfiguration = merge(local.log, { options = merge(local.log.options, { mode = "non-blocking", max-buffer-size = "25m" }) })
  })])
}

locals {
  # What API and sweeps have in common.
  container = {
    essential              = true
    readonlyRootFilesystem = true

    linuxParameters = {
      # The kernel keeps signals from a first process that has not asked for them yet: docs/operate/docker.md.
      initProcessEnabled = true
      capabilities       = { drop = ["ALL"] }
    }
  }

  log = {
    logDriver = "awslogs"
    options = {
      awslogs-group         = aws_cloudwatch_log_group.this.name
      awslogs-region        = var.region
      awslogs-stream-prefix = "api"
    }
  }

  environment = {
    AWS_REGION            = var.region
    HEAL_AFTER_S          = tostring(var.heal_after_s)
    HOST                  = "0.0.0.0"
    LOG_LEVEL             = var.log_level
    MAX_CONNECTIONS       = tostring(var.max_connections)
    OPERATION_DEADLINE_MS = tostring(var.operation_deadline_ms)
    OWN_IDS_IN_BATCHES    = tostring(var.own_ids_in_batches)
    PORT                  = tostring(local.port)
    SERVICES_SLOTS        = tostring(var.services_slots)
    TABLE_NAME            = var.table_name
  }
}


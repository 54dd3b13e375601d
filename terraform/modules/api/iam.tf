locals {
  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Action    = "sts:AssumeRole"
      Principal = { Service = "ecs-tasks.amazonaws.com" }
      Condition = { StringEquals = { "aws:SourceAccount" = var.account_id } }
    }]
  })

  task_policy = {
    Version = "2012-10-17"
    Statement = [{
      Sid    = "Count"
      Effect = "Allow"
      # What counters/stores/dynamodb/ calls, which a test compares; transactions and batches need their single actions.
      Action = [
        "dynamodb:BatchGetItem",
        "dynamodb:DeleteItem",
        "dynamodb:GetItem",
        "dynamodb:PartiQLInsert",
        "dynamodb:PutItem",
        "dynamodb:Query",
        "dynamodb:UpdateItem",
      ]
      Resource = [var.table_arn]
    }]
  }

  execution_policy = {
    Version = "2012-10-17"
    Statement = [
      {
        # It is about no resource, so there is no ARN to name.
        Sid      = "LogInToRegistry"
        Effect   = "Allow"
        Action   = ["ecr:GetAuthorizationToken"]
        Resource = ["*"]
      },
      {
        Sid      = "PullImage"
        Effect   = "Allow"
        Action   = ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]
        Resource = [aws_ecr_repository.this.arn]
      },
      {
        Sid    = "Log"
        Effect = "Allow"
        Action = ["logs:CreateLogStream", "logs:PutLogEvents"]
        # The streams of the one group.
        Resource = ["${aws_cloudwatch_log_group.this.arn}:*"]
      },
    ]
  }
}

# Roles are of the whole account, everything else is of one region.
resource "aws_iam_role" "task" {
  name               = "${var.name}-api-${var.region}"
  description        = "What the API of ${var.name} may do"
  assume_role_policy = local.assume_role_policy
}

resource "aws_iam_role_policy" "task" {
  name   = "count"
  role   = aws_iam_role.task.id
  policy = jsonencode(local.task_policy)
}

resource "aws_iam_role" "execution" {
  name               = "${var.name}-api-execution-${var.region}"
  description        = "What Fargate may do to start the API of ${var.name}"
  assume_role_policy = local.assume_role_policy
}

resource "aws_iam_role_policy" "execution" {
  name   = "start"
  role   = aws_iam_role.execution.id
  policy = jsonencode(local.execution_policy)
}

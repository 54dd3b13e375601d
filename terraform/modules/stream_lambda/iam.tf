locals {
  policy = {
    Version = "2012-10-17"
    Statement = [
      {
        Sid      = "Settle"
        Effect   = "Allow"
        Action   = ["dynamodb:GetItem", "dynamodb:UpdateItem"]
        Resource = [var.table_arn]
      },
      {
        Sid      = "ReadStream"
        Effect   = "Allow"
        Action   = ["dynamodb:DescribeStream", "dynamodb:GetRecords", "dynamodb:GetShardIterator"]
        Resource = [var.stream_arn]
      },
      {
        # The mapping asks which streams the table has; this is the narrowest resource that the action knows.
        Sid      = "FindStream"
        Effect   = "Allow"
        Action   = ["dynamodb:ListStreams"]
        Resource = ["${var.table_arn}/stream/*"]
      },
      {
        Sid      = "PutAside"
        Effect   = "Allow"
        Action   = ["sqs:SendMessage"]
        Resource = [aws_sqs_queue.dead_letters.arn]
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

resource "aws_iam_role" "this" {
  # Roles are of the whole account, everything else is of one region.
  name        = "${local.function_name}-${var.region}"
  description = "What the stream Lambda of ${var.name} may do"

  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Action    = "sts:AssumeRole"
      Principal = { Service = "lambda.amazonaws.com" }
    }]
  })
}

resource "aws_iam_role_policy" "this" {
  name   = "settle"
  role   = aws_iam_role.this.id
  policy = jsonencode(local.policy)
}

locals {
  # All that the tasks need of each: with stolen credentials of another account, nobody gets data out through them.
  reachable = {
    dynamodb = { actions = ["dynamodb:*"], resource = var.table_arn }
    # Where ECR keeps the layers of images.
    s3 = {
      actions  = ["s3:GetObject"]
      resource = "arn:${split(":", var.table_arn)[1]}:s3:::prod-${var.region}-starport-layer-bucket/*"
    }
  }
}

# Gateway endpoints cost nothing.
resource "aws_vpc_endpoint" "gateway" {
  for_each = local.reachable

  vpc_id            = aws_vpc.this.id
  service_name      = "com.amazonaws.${var.region}.${each.key}"
  vpc_endpoint_type = "Gateway"
  route_table_ids   = [aws_route_table.private.id]

  policy = !var.endpoint_policies ? null : jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = "*"
      Action    = each.value.actions
      Resource  = [each.value.resource]
    }]
  })

  tags = { Name = "${var.name}-${each.key}" }
}

# For pulling the image and writing the log, the tasks' only other calls.
resource "aws_vpc_endpoint" "interface" {
  for_each = var.interface_endpoints ? toset(["ecr.api", "ecr.dkr", "logs"]) : toset([])

  vpc_id              = aws_vpc.this.id
  service_name        = "com.amazonaws.${var.region}.${each.key}"
  vpc_endpoint_type   = "Interface"
  subnet_ids          = [for subnet in aws_subnet.private : subnet.id]
  security_group_ids  = [aws_security_group.endpoints.id]
  private_dns_enabled = true

  tags = { Name = "${var.name}-${each.key}" }
}

resource "aws_security_group" "endpoints" {
  name        = "${var.name}-endpoints"
  description = "HTTPS from the VPC to the interface endpoints"
  vpc_id      = aws_vpc.this.id

  tags = { Name = "${var.name}-endpoints" }
}

resource "aws_vpc_security_group_ingress_rule" "endpoints" {
  security_group_id = aws_security_group.endpoints.id
  description       = "HTTPS from the VPC"
  cidr_ipv4         = var.cidr
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443
}

locals {
  listener_ports = local.https ? [80, 443] : [80]
  allowed = {
    for pair in setproduct(distinct(concat([var.network.cidr], var.allowed_cidrs)), local.listener_ports) :
    "${pair[0]} ${pair[1]}" => { cidr = pair[0], port = pair[1] }
  }
}

resource "aws_security_group" "load_balancer" {
  name        = "${var.name}-load-balancer"
  description = "From the callers to the tasks"
  vpc_id      = var.network.vpc_id

  tags = { Name = "${var.name}-load-balancer" }
}

resource "aws_vpc_security_group_ingress_rule" "callers" {
  # checkov:skip=CKV_AWS_260:The root refuses 0.0.0.0/0 unless there is a certificate; port 80 then only redirects.
  for_each = local.allowed

  security_group_id = aws_security_group.load_balancer.id
  description       = "Callers"
  cidr_ipv4         = each.value.cidr
  ip_protocol       = "tcp"
  from_port         = each.value.port
  to_port           = each.value.port
}

resource "aws_vpc_security_group_egress_rule" "load_balancer_to_task" {
  security_group_id            = aws_security_group.load_balancer.id
  description                  = "To the tasks"
  referenced_security_group_id = aws_security_group.task.id
  ip_protocol                  = "tcp"
  from_port                    = local.port
  to_port                      = local.port
}

resource "aws_security_group" "task" {
  name        = "${var.name}-task"
  description = "From the load balancer; to AWS through the endpoints"
  vpc_id      = var.network.vpc_id

  tags = { Name = "${var.name}-task" }
}

resource "aws_vpc_security_group_ingress_rule" "task_from_load_balancer" {
  security_group_id            = aws_security_group.task.id
  description                  = "From the load balancer"
  referenced_security_group_id = aws_security_group.load_balancer.id
  ip_protocol                  = "tcp"
  from_port                    = local.port
  to_port                      = local.port
}

# What there is to reach is decided by the routes of the private subnets: the VPC and the endpoints, nothing else.
resource "aws_vpc_security_group_egress_rule" "task_to_endpoints" {
  security_group_id = aws_security_group.task.id
  description       = "HTTPS to DynamoDB, ECR and CloudWatch Logs"
  cidr_ipv4         = "0.0.0.0/0"
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443
}

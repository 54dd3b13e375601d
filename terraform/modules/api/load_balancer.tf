resource "aws_lb" "this" {
  # checkov:skip=CKV_AWS_91:Access logs need a bucket that outlives this root; the alarms use metrics.
  # checkov:skip=CKV_AWS_150:Deletion protection is a variable, on by default.
  # checkov:skip=CKV2_AWS_20:Plain HTTP redirects to HTTPS whenever there is a certificate.
  # checkov:skip=CKV2_AWS_28:Who may call is a list of networks; a firewall is an account's choice.
  name               = "${var.name}-api"
  load_balancer_type = "application"
  internal           = !var.public
  subnets            = var.public ? var.network.public_subnet_ids : var.network.private_subnet_ids
  security_groups    = [aws_security_group.load_balancer.id]

  # Less than the 75 s for which the API keeps a connection: it must not close one that is about to be reused.
  idle_timeout               = 60
  drop_invalid_header_fields = true
  enable_deletion_protection = var.deletion_protection
}

resource "aws_lb_target_group" "this" {
  # checkov:skip=CKV_AWS_378:TLS ends at the load balancer; behind it are private subnets and one security group.
  name        = "${var.name}-api"
  vpc_id      = var.network.vpc_id
  target_type = "ip"
  protocol    = "HTTP"
  port        = local.port

  # Requests that are under way get their deadline before the task is told to stop.
  deregistration_delay = ceil(var.operation_deadline_ms / 1000) + 5

  # Not /ready, which reads the table: ECS replaces what is unhealthy here, and no new task mends the table's trouble.
  health_check {
    path                = "/health"
    matcher             = "200"
    interval            = 10
    timeout             = 5
    healthy_threshold   = 2
    unhealthy_threshold = 3
  }
}

resource "aws_lb_listener" "http" {
  # checkov:skip=CKV_AWS_2:Without a certificate only listed networks may call; with one this redirects to HTTPS.
  # checkov:skip=CKV_AWS_103:It speaks no TLS; the listener that does asks for 1.2 or newer.
  load_balancer_arn = aws_lb.this.arn
  protocol          = "HTTP"
  port              = 80

  default_action {
    type             = local.https ? "redirect" : "forward"
    target_group_arn = local.https ? null : aws_lb_target_group.this.arn

    dynamic "redirect" {
      for_each = local.https ? [true] : []

      content {
        protocol    = "HTTPS"
        port        = "443"
        status_code = "HTTP_301"
      }
    }
  }
}

resource "aws_lb_listener" "https" {
  count = local.https ? 1 : 0

  load_balancer_arn = aws_lb.this.arn
  protocol          = "HTTPS"
  port              = 443
  certificate_arn   = var.certificate_arn
  ssl_policy        = "ELBSecurityPolicy-TLS13-1-2-2021-06"

  default_action {
    type             = "forward"
    target_group_arn = aws_lb_target_group.this.arn
  }
}

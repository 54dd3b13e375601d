# The tasks' subnets have no route to the internet: what they need of AWS, they reach through endpoints.

# Not every region has a zone of each letter, and not every account every zone.
data "aws_availability_zones" "this" {
  # checkov:skip=CKV_AWS_394:The first two by name are taken, so that a new one moves nothing; the variable zones pins them.
  state = "available"

  # Local zones and the like have neither load balancers nor Fargate for everybody.
  filter {
    name   = "opt-in-status"
    values = ["opt-in-not-required"]
  }

  lifecycle {
    postcondition {
      condition     = length(self.names) >= 2
      error_message = "${var.region} has fewer than two availability zones for this account (${join(", ", self.names)}), and a load balancer needs two: choose another region."
    }

    postcondition {
      condition     = length(setsubtract(local.wanted_zones, self.names)) == 0
      error_message = "zones must be letters of zones that this account has in ${var.region}: ${join(", ", self.names)}. There is no ${join(", ", setsubtract(local.wanted_zones, self.names))}."
    }
  }
}

locals {
  wanted_zones = [for letter in var.zones == null ? [] : var.zones : "${var.region}${letter}"]
  zones        = var.zones == null ? slice(sort(data.aws_availability_zones.this.names), 0, 2) : local.wanted_zones
  # Numbers of the subnets of one size in the VPC: the lower half is private, the upper half public.
  private_subnets = { for index, zone in local.zones : zone => cidrsubnet(var.cidr, 4, index) }
  public_subnets  = var.public ? { for index, zone in local.zones : zone => cidrsubnet(var.cidr, 4, 8 + index) } : {}
}

resource "aws_vpc" "this" {
  # checkov:skip=CKV2_AWS_11:Flow logs cost by traffic and are an account's choice; nothing here depends on them.
  cidr_block           = var.cidr
  enable_dns_support   = true
  enable_dns_hostnames = true # The endpoints' private names need it.

  tags = { Name = var.name }
}

# Whatever is put into the VPC without a group of its own gets this one, which allows nothing.
resource "aws_default_security_group" "this" {
  vpc_id = aws_vpc.this.id
}

resource "aws_subnet" "private" {
  for_each = local.private_subnets

  vpc_id            = aws_vpc.this.id
  availability_zone = each.key
  cidr_block        = each.value

  tags = { Name = "${var.name}-private-${each.key}" }
}

resource "aws_route_table" "private" {
  vpc_id = aws_vpc.this.id

  tags = { Name = "${var.name}-private" }
}

resource "aws_route_table_association" "private" {
  for_each = aws_subnet.private

  subnet_id      = each.value.id
  route_table_id = aws_route_table.private.id
}

resource "aws_subnet" "public" {
  for_each = local.public_subnets

  vpc_id            = aws_vpc.this.id
  availability_zone = each.key
  cidr_block        = each.value

  tags = { Name = "${var.name}-public-${each.key}" }
}

resource "aws_internet_gateway" "this" {
  count = var.public ? 1 : 0

  vpc_id = aws_vpc.this.id

  tags = { Name = var.name }
}

resource "aws_route_table" "public" {
  count = var.public ? 1 : 0

  vpc_id = aws_vpc.this.id

  tags = { Name = "${var.name}-public" }
}

resource "aws_route" "internet" {
  count = var.public ? 1 : 0

  route_table_id         = aws_route_table.public[0].id
  destination_cidr_block = "0.0.0.0/0"
  gateway_id             = aws_internet_gateway.this[0].id
}

resource "aws_route_table_association" "public" {
  for_each = aws_subnet.public

  subnet_id      = each.value.id
  route_table_id = aws_route_table.public[0].id
}

# The tasks' subnets have no route to the internet: what they need of AWS, they reach through endpoints.

locals {
  zones = [for letter in var.zones : "${var.region}${letter}"]
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

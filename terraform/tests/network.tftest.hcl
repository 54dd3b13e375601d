# The network: in zones that are there, and a way out to nothing but what the tasks need.

mock_provider "aws" {
  mock_data "aws_availability_zones" {
    defaults = { names = ["us-west-1c", "us-west-1b"] }
  }
}

variables {
  name                = "apart"
  region              = "us-west-1"
  cidr                = "10.20.0.0/16"
  zones               = null
  table_arn           = "arn:aws:dynamodb:us-west-1:111122223333:table/apart"
  public              = true
  interface_endpoints = true
  endpoint_policies   = true
}

run "it_takes_zones_that_the_account_has" {
  command = plan
  module { source = "./modules/network" }

  assert {
    condition     = [for subnet in aws_subnet.private : subnet.availability_zone] == ["us-west-1b", "us-west-1c"]
    error_message = "Not every account has a zone a."
  }

  assert {
    condition     = data.aws_availability_zones.this.state == "available" && one(data.aws_availability_zones.this.filter).values == toset(["opt-in-not-required"])
    error_message = "Local zones and those that are closed are none to choose."
  }
}

run "it_takes_the_zones_that_it_is_told" {
  command = plan
  module { source = "./modules/network" }
  variables { zones = ["c", "b"] }

  assert {
    condition     = { for zone, subnet in aws_subnet.private : zone => subnet.cidr_block } == { us-west-1c = "10.20.0.0/20", us-west-1b = "10.20.16.0/20" }
    error_message = "Other zones than those of the variable."
  }
}

run "it_refuses_a_zone_that_is_not_there" {
  command = plan
  module { source = "./modules/network" }
  variables { zones = ["a", "b"] }
  expect_failures = [data.aws_availability_zones.this]
}

run "it_refuses_a_region_with_one_zone" {
  command = plan
  module { source = "./modules/network" }

  override_data {
    target = data.aws_availability_zones.this
    values = { names = ["us-west-1b"] }
  }

  expect_failures = [data.aws_availability_zones.this]
}

run "the_gateways_lead_to_this_table_and_to_the_layers_of_images" {
  command = plan
  module { source = "./modules/network" }

  assert {
    condition = { for name, endpoint in aws_vpc_endpoint.gateway : name => one(jsondecode(endpoint.policy).Statement) } == {
      dynamodb = { Effect = "Allow", Principal = "*", Action = ["dynamodb:*"], Resource = ["arn:aws:dynamodb:us-west-1:111122223333:table/apart"] }
      s3       = { Effect = "Allow", Principal = "*", Action = ["s3:GetObject"], Resource = ["arn:aws:s3:::prod-us-west-1-starport-layer-bucket/*"] }
    }
    error_message = "Through a gateway without a policy, anything can be carried to any account."
  }
}

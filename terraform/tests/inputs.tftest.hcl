# Bad input stops at plan time. Each run breaks one variable; the pytest suite reads what the messages say.

mock_provider "aws" {
  mock_data "aws_availability_zones" {
    defaults = { names = ["us-east-1b", "us-east-1c", "us-east-1d"] }
  }

  mock_resource "aws_dynamodb_table" {
    defaults = { arn = "arn:aws:dynamodb:us-east-1:111122223333:table/distributed-counter" }
  }
}

variables {
  region     = "us-east-1"
  lambda_zip = "versions.tf" # Any file that is there will do.
}

run "accepts_the_defaults" {
  command = plan
}

run "refuses_an_endpoint_that_is_no_address" {
  command = plan
  variables { endpoint_url = "localhost:4566" }
  expect_failures = [var.endpoint_url]
}

run "refuses_an_endpoint_with_a_path" {
  command = plan
  variables { endpoint_url = "http://127.0.0.1:4566/aws" }
  expect_failures = [var.endpoint_url]
}

run "refuses_a_zip_that_is_not_there" {
  command = plan
  variables { lambda_zip = "../build/nowhere.zip" }
  expect_failures = [var.lambda_zip]
}

run "refuses_aws_without_a_window" {
  command = plan
  variables { tumbling_window_s = 0 }
  expect_failures = [var.tumbling_window_s]
}

run "refuses_a_window_that_lambda_does_not_have" {
  command = plan
  variables { tumbling_window_s = 901 }
  expect_failures = [var.tumbling_window_s]
}

run "refuses_aws_without_interface_endpoints" {
  command = plan
  variables { interface_endpoints = false }
  expect_failures = [var.interface_endpoints]
}

run "refuses_aws_without_policies_of_endpoints" {
  command = plan
  variables { endpoint_policies = false }
  expect_failures = [var.endpoint_policies]
}

run "refuses_a_network_that_is_none" {
  command = plan
  variables { vpc_cidr = "10.20.0.0" }
  expect_failures = [var.vpc_cidr]
}

run "refuses_a_network_that_begins_elsewhere" {
  command = plan
  variables { vpc_cidr = "10.20.0.1/16" }
  expect_failures = [var.vpc_cidr]
}

run "refuses_a_network_that_is_too_small" {
  command = plan
  variables { vpc_cidr = "10.20.0.0/24" }
  expect_failures = [var.vpc_cidr]
}

run "refuses_one_zone" {
  command = plan
  variables { zones = ["a"] }
  expect_failures = [var.zones]
}

run "refuses_callers_that_are_no_network" {
  command = plan
  variables { allowed_cidrs = ["203.0.113.7"] }
  expect_failures = [var.allowed_cidrs]
}

run "refuses_the_whole_internet_without_tls" {
  command = plan
  variables { allowed_cidrs = ["0.0.0.0/0"] }
  expect_failures = [var.allowed_cidrs]
}

run "refuses_the_whole_internet_without_tls_even_if_it_is_meant" {
  command = plan
  variables {
    allowed_cidrs  = ["0.0.0.0/0"]
    allow_everyone = true
  }
  expect_failures = [var.allowed_cidrs]
}

run "refuses_the_whole_internet_with_tls_unless_it_is_meant" {
  command = plan
  variables {
    public          = true
    allowed_cidrs   = ["0.0.0.0/0"]
    certificate_arn = "arn:aws:acm:us-east-1:111122223333:certificate/some"
  }
  expect_failures = [var.allowed_cidrs]
}

run "refuses_the_whole_internet_in_two_halves" {
  command = plan
  variables {
    public          = true
    allowed_cidrs   = ["0.0.0.0/1", "128.0.0.0/1"]
    certificate_arn = "arn:aws:acm:us-east-1:111122223333:certificate/some"
  }
  expect_failures = [var.allowed_cidrs]
}

run "refuses_the_whole_internet_of_version_6" {
  command = plan
  variables {
    public          = true
    allowed_cidrs   = ["::/0"]
    certificate_arn = "arn:aws:acm:us-east-1:111122223333:certificate/some"
    allow_everyone  = true
  }
  expect_failures = [var.allowed_cidrs]
}

run "accepts_the_whole_internet_with_tls_if_it_is_meant" {
  command = plan
  variables {
    public          = true
    allowed_cidrs   = ["0.0.0.0/0"]
    certificate_arn = "arn:aws:acm:us-east-1:111122223333:certificate/some"
    allow_everyone  = true
  }
}

run "refuses_memory_that_lambda_does_not_have" {
  command = plan
  variables { lambda_memory_mib = 10241 }
  expect_failures = [var.lambda_memory_mib]
}

run "refuses_memory_that_is_no_number_of_mib" {
  command = plan
  variables { lambda_memory_mib = 1769.5 }
  expect_failures = [var.lambda_memory_mib]
}

run "refuses_a_served_image_without_a_tag" {
  command = plan
  variables { served_image = "distributed-counter" }
  expect_failures = [var.served_image]
}

run "refuses_a_certificate_that_is_none" {
  command = plan
  variables { certificate_arn = "api.example.com" }
  expect_failures = [var.certificate_arn]
}

run "refuses_a_certificate_of_another_region" {
  command = plan
  variables { certificate_arn = "arn:aws:acm:eu-west-1:111122223333:certificate/some" }
  expect_failures = [var.certificate_arn]
}

run "refuses_a_name_that_a_load_balancer_cannot_have" {
  command = plan
  variables { name = "a-name-that-goes-on-for-too-long" }
  expect_failures = [var.name]
}

run "refuses_a_deadline_that_the_api_refuses" {
  command = plan
  variables { operation_deadline_ms = 5001 }
  expect_failures = [var.operation_deadline_ms]
}

run "refuses_to_heal_sooner_than_the_api_does" {
  command = plan
  variables { heal_after_s = 14 }
  expect_failures = [var.heal_after_s]
}

run "refuses_more_slots_than_there_are" {
  command = plan
  variables { services_slots = 65 }
  expect_failures = [var.services_slots]
}

run "refuses_more_connections_than_a_task_may_have_files" {
  command = plan
  variables { max_connections = 65001 }
  expect_failures = [var.max_connections]
}

run "refuses_fewer_tasks_at_most_than_at_least" {
  command = plan
  variables {
    api_tasks_min = 3
    api_tasks_max = 2
  }
  expect_failures = [var.api_tasks_max]
}

run "accepts_many_tasks_without_autoscaling_whose_greatest_number_then_says_nothing" {
  command = plan
  variables {
    api_autoscaling = false
    api_tasks_min   = 11
  }
}

run "refuses_memory_that_fargate_does_not_have" {
  command = plan
  variables {
    api_task_cpu        = 256
    api_task_memory_mib = 4096
  }
  expect_failures = [var.api_task_memory_mib]
}

run "refuses_an_image_without_a_tag" {
  command = plan
  variables { api_image = "distributed-counter" }
  expect_failures = [var.api_image]
}

run "refuses_sweeps_that_an_alarm_cannot_look_back_over" {
  command = plan
  variables { sweep_interval_minutes = 361 }
  expect_failures = [var.sweep_interval_minutes]
}

run "refuses_an_unknown_architecture" {
  command = plan
  variables { architecture = "amd64" }
  expect_failures = [var.architecture]
}

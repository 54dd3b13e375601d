# The API: what it may do, who may call it, and that it is replaced without losing a request.

mock_provider "aws" {
  mock_resource "aws_ecr_repository" {
    defaults = { arn = "arn:aws:ecr:us-east-1:111122223333:repository/counting" }
  }

  mock_resource "aws_cloudwatch_log_group" {
    defaults = { arn = "arn:aws:logs:us-east-1:111122223333:log-group:/ecs/counting" }
  }

  mock_resource "aws_ecs_cluster" {
    defaults = { arn = "arn:aws:ecs:us-east-1:111122223333:cluster/counting" }
  }

  mock_resource "aws_iam_role" {
    defaults = { arn = "arn:aws:iam::111122223333:role/counting" }
  }

  mock_resource "aws_lb" {
    defaults = { arn = "arn:aws:elasticloadbalancing:us-east-1:111122223333:loadbalancer/app/counting/1" }
  }

  mock_resource "aws_lb_target_group" {
    defaults = { arn = "arn:aws:elasticloadbalancing:us-east-1:111122223333:targetgroup/counting/1" }
  }

  mock_resource "aws_ecs_task_definition" {
    defaults = { arn = "arn:aws:ecs:us-east-1:111122223333:task-definition/counting:1" }
  }
}

variables {
  name                     = "counting"
  region                   = "us-east-1"
  account_id               = "111122223333"
  table_name               = "counting"
  table_arn                = "arn:aws:dynamodb:us-east-1:111122223333:table/counting"
  image                    = "counting:v2"
  served_image             = "counting:v1"
  architecture             = "arm64"
  task_cpu                 = 1024
  task_memory_mib          = 2048
  autoscaling              = true
  tasks_min                = 2
  tasks_max                = 10
  cpu_target_percent       = 60
  requests_per_task_target = 60000
  operation_deadline_ms    = 5000
  heal_after_s             = 2100
  own_ids_in_batches       = true
  services_slots           = 1
  max_connections          = 3000
  log_level                = "INFO"
  environment              = {}
  sweep_interval_minutes   = 15
  public                   = false
  allowed_cidrs            = []
  certificate_arn          = null
  deletion_protection      = true
  log_retention_days       = 365

  network = {
    vpc_id             = "vpc-1"
    cidr               = "10.20.0.0/16"
    private_subnet_ids = ["subnet-private-1", "subnet-private-2"]
    public_subnet_ids  = ["subnet-public-1", "subnet-public-2"]
  }
}

run "the_task_may_use_the_table_and_nothing_else" {
  module { source = "./modules/api" }

  assert {
    condition     = [for statement in jsondecode(aws_iam_role_policy.task.policy).Statement : statement.Resource] == [[var.table_arn]]
    error_message = "The API's role is about the table only."
  }

  assert {
    condition     = alltrue(flatten([for statement in jsondecode(aws_iam_role_policy.task.policy).Statement : [for action in statement.Action : !strcontains(action, "*")]]))
    error_message = "Each action is named."
  }

  assert {
    condition     = jsondecode(aws_iam_role.task.assume_role_policy).Statement[0].Condition.StringEquals["aws:SourceAccount"] == "111122223333"
    error_message = "Only this account's tasks may take the role."
  }
}

run "only_logging_in_to_the_registry_names_no_resource" {
  module { source = "./modules/api" }

  assert {
    condition = {
      for statement in jsondecode(aws_iam_role_policy.execution.policy).Statement : statement.Sid => statement.Resource
      } == {
      LogInToRegistry = ["*"]
      PullImage       = ["arn:aws:ecr:us-east-1:111122223333:repository/counting"]
      Log             = ["arn:aws:logs:us-east-1:111122223333:log-group:/ecs/counting:*"]
    }
    error_message = "What starts the task may pull this image and write this log."
  }
}

run "a_task_gets_the_time_to_drain" {
  module { source = "./modules/api" }

  assert {
    condition     = jsondecode(aws_ecs_task_definition.this[0].container_definitions)[0].stopTimeout > 5 + 2 + 10
    error_message = "Deadline, 2 s to answer and 10 s to flush must pass before it is killed."
  }

  assert {
    condition     = tonumber(aws_lb_target_group.this.deregistration_delay) >= 5
    error_message = "A request under way must get its deadline before its task is told to stop."
  }
}

run "the_longest_deadline_still_fits_fargate" {
  module { source = "./modules/api" }
  variables { operation_deadline_ms = 10000 }

  assert {
    condition     = jsondecode(aws_ecs_task_definition.this[0].container_definitions)[0].stopTimeout > 22 && jsondecode(aws_ecs_task_definition.this[0].container_definitions)[0].stopTimeout <= 120
    error_message = "The stop timeout follows the deadline, and Fargate's longest is 120 s."
  }
}

run "a_bad_deploy_is_rolled_back_and_no_task_is_missing_meanwhile" {
  module { source = "./modules/api" }

  assert {
    condition = (
      aws_ecs_service.this[0].deployment_circuit_breaker[0].enable &&
      aws_ecs_service.this[0].deployment_circuit_breaker[0].rollback &&
      aws_ecs_service.this[0].deployment_minimum_healthy_percent == 100
    )
    error_message = "Deploys roll, and back when the new tasks are not healthy."
  }

  assert {
    condition     = aws_ecs_task_definition.this[0].skip_destroy && aws_ecs_task_definition.sweep[0].skip_destroy
    error_message = "The version before must stay, to go back to."
  }
}

run "trouble_of_the_table_replaces_no_task" {
  module { source = "./modules/api" }

  assert {
    condition     = aws_lb_target_group.this.health_check[0].path == "/health"
    error_message = "/ready reads the table: while DynamoDB is in trouble, ECS would replace every task."
  }
}

run "without_autoscaling_the_number_of_tasks_is_that_of_the_variable" {
  module { source = "./modules/api" }
  variables { autoscaling = false }

  assert {
    condition     = length(aws_ecs_service.this) == 0 && aws_ecs_service.fixed[0].desired_count == 2 && output.service_name == "counting-api-fixed"
    error_message = "The service whose number of tasks Terraform keeps is the one to be made."
  }
}

# Goes on where the run before ended.
run "another_number_is_another_number" {
  module { source = "./modules/api" }
  variables {
    autoscaling = false
    tasks_min   = 3
  }

  assert {
    condition     = aws_ecs_service.fixed[0].desired_count == 3
    error_message = "The number of tasks is ignored once the service is there."
  }
}

run "with_autoscaling_the_number_of_tasks_is_left_alone" {
  module { source = "./modules/api" }

  assert {
    condition     = aws_ecs_service.this[0].desired_count == 2
    error_message = "A service begins with the least number of tasks."
  }
}

# Goes on where the run before ended.
run "with_autoscaling_another_least_number_does_not_take_tasks_away" {
  module { source = "./modules/api" }
  variables { tasks_min = 1 }

  assert {
    condition     = aws_ecs_service.this[0].desired_count == 2 && aws_appautoscaling_target.this[0].min_capacity == 1
    error_message = "How many tasks there are is autoscaling's matter."
  }
}

run "names_of_the_whole_account_carry_the_region" {
  module { source = "./modules/api" }

  assert {
    condition     = alltrue([for role in [aws_iam_role.task, aws_iam_role.execution, aws_iam_role.scheduler] : endswith(role.name, "-us-east-1")])
    error_message = "The same name in a second region would meet these roles."
  }
}

run "a_log_that_blocks_does_not_stop_the_api_and_no_metric_of_a_sweep_is_lost" {
  module { source = "./modules/api" }

  assert {
    condition = {
      for name, value in jsondecode(aws_ecs_task_definition.this[0].container_definitions)[0].logConfiguration.options : name => value
      if contains(["mode", "max-buffer-size"], name)
    } == { mode = "non-blocking", max-buffer-size = "25m" }
    error_message = "The API must go on when CloudWatch does not."
  }

  assert {
    condition     = jsondecode(aws_ecs_task_definition.sweep[0].container_definitions)[0].logConfiguration.options.mode == "blocking"
    error_message = "A buffer that is full drops the lines that the metrics are made of."
  }
}

run "images_do_not_pile_up" {
  module { source = "./modules/api" }

  assert {
    condition     = [for rule in jsondecode(aws_ecr_lifecycle_policy.this.policy).rules : [rule.selection.tagStatus, rule.selection.countNumber]] == [["untagged", 1], ["any", 100]]
    error_message = "Images that nobody goes back to are to expire."
  }
}

run "the_container_is_told_where_it_is" {
  module { source = "./modules/api" }

  assert {
    condition = { for pair in jsondecode(aws_ecs_task_definition.this[0].container_definitions)[0].environment : pair.name => pair.value } == {
      AWS_REGION            = "us-east-1"
      HEAL_AFTER_S          = "2100"
      HOST                  = "0.0.0.0"
      LOG_LEVEL             = "INFO"
      MAX_CONNECTIONS       = "3000"
      OPERATION_DEADLINE_MS = "5000"
      OWN_IDS_IN_BATCHES    = "true"
      PORT                  = "8000"
      SERVICES_SLOTS        = "1"
      TABLE_NAME            = "counting"
    }
    error_message = "The container's environment is not what api/settings.py reads."
  }

  assert {
    condition     = jsondecode(aws_ecs_task_definition.this[0].container_definitions)[0].readonlyRootFilesystem
    error_message = "The container's root file system is read-only."
  }
}

run "what_an_emulator_needs_is_added" {
  module { source = "./modules/api" }
  variables { environment = { AWS_ACCESS_KEY_ID = "test" } }

  assert {
    condition     = contains([for pair in jsondecode(aws_ecs_task_definition.this[0].container_definitions)[0].environment : "${pair.name}=${pair.value}"], "AWS_ACCESS_KEY_ID=test")
    error_message = "Further variables are left out."
  }
}

run "the_container_can_do_nothing_that_it_need_not_and_stops_when_told" {
  module { source = "./modules/api" }

  assert {
    condition     = jsondecode(aws_ecs_task_definition.this[0].container_definitions)[0].linuxParameters == { initProcessEnabled = true, capabilities = { drop = ["ALL"] } }
    error_message = "The container has an init and no capabilities."
  }
}

run "sweeps_are_tasks_of_the_image_that_served_last" {
  module { source = "./modules/api" }
  variables { log_level = "ERROR" }

  assert {
    condition = (
      aws_scheduler_schedule.sweep[0].schedule_expression == "rate(15 minutes)" &&
      aws_scheduler_schedule.sweep[0].target[0].ecs_parameters[0].task_definition_arn == aws_ecs_task_definition.sweep[0].arn
    )
    error_message = "Every 15 minutes there is to be a sweep."
  }

  assert {
    condition = (
      jsondecode(aws_ecs_task_definition.this[0].container_definitions)[0].image == "counting:v2" &&
      jsondecode(aws_ecs_task_definition.sweep[0].container_definitions)[0].image == "counting:v1"
    )
    error_message = "An image that is just being tried must not heal."
  }

  assert {
    condition = (
      jsondecode(aws_ecs_task_definition.sweep[0].container_definitions)[0].command == ["/opt/venv/bin/python", "-m", "api.sweep"] &&
      contains([for pair in jsondecode(aws_ecs_task_definition.sweep[0].container_definitions)[0].environment : "${pair.name}=${pair.value}"], "LOG_LEVEL=INFO")
    )
    error_message = "A sweep is to run api.sweep, and to log its report on any log_level."
  }
}

run "before_an_image_served_there_are_no_sweeps" {
  module { source = "./modules/api" }
  variables { served_image = null }

  assert {
    condition     = length(aws_scheduler_schedule.sweep) + length(aws_ecs_task_definition.sweep) == 0 && length(aws_ecs_service.this) == 1
    error_message = "The first image is to be tried before it heals."
  }
}

run "the_scheduler_may_run_this_task_and_nothing_else" {
  module { source = "./modules/api" }

  assert {
    condition = jsondecode(aws_iam_role_policy.scheduler.policy).Statement == [
      {
        Sid       = "RunTask"
        Effect    = "Allow"
        Action    = ["ecs:RunTask"]
        Resource  = ["arn:aws:ecs:us-east-1:111122223333:task-definition/counting-sweep:*"]
        Condition = { ArnEquals = { "ecs:cluster" = "arn:aws:ecs:us-east-1:111122223333:cluster/counting" } }
      },
      {
        Sid       = "PassRoles"
        Effect    = "Allow"
        Action    = ["iam:PassRole"]
        Resource  = [aws_iam_role.task.arn, aws_iam_role.execution.arn]
        Condition = { StringEquals = { "iam:PassedToService" = "ecs-tasks.amazonaws.com" } }
      },
    ]
    error_message = "The scheduler's role has other permissions than its work needs."
  }

  assert {
    condition     = jsondecode(aws_iam_role.scheduler.assume_role_policy).Statement[0].Condition.StringEquals["aws:SourceAccount"] == "111122223333"
    error_message = "Only this account's schedules may take the role."
  }
}

run "by_default_only_the_vpc_may_call" {
  module { source = "./modules/api" }

  assert {
    condition     = aws_lb.this.internal && [for rule in aws_vpc_security_group_ingress_rule.callers : rule.cidr_ipv4] == ["10.20.0.0/16"]
    error_message = "The API asks nobody who they are, so it is for the VPC unless told otherwise."
  }

  assert {
    condition     = aws_ecs_service.this[0].network_configuration[0].assign_public_ip == false
    error_message = "Tasks are in private subnets."
  }
}

run "without_a_certificate_plain_http_forwards" {
  module { source = "./modules/api" }

  assert {
    condition     = aws_lb_listener.http.default_action[0].type == "forward" && length(aws_lb_listener.https) == 0
    error_message = "Without a certificate port 80 serves."
  }
}

run "with_a_certificate_plain_http_redirects" {
  module { source = "./modules/api" }

  variables {
    public          = true
    allowed_cidrs   = ["203.0.113.0/24"]
    certificate_arn = "arn:aws:acm:us-east-1:111122223333:certificate/some"
  }

  assert {
    condition     = aws_lb_listener.http.default_action[0].redirect[0].protocol == "HTTPS" && aws_lb_listener.https[0].port == 443
    error_message = "With a certificate port 80 only redirects."
  }

  assert {
    condition     = toset(keys(aws_vpc_security_group_ingress_rule.callers)) == toset(["10.20.0.0/16 80", "10.20.0.0/16 443", "203.0.113.0/24 80", "203.0.113.0/24 443"])
    error_message = "VPC and listed networks may call, on both ports."
  }
}

run "before_the_first_image_there_is_no_service" {
  module { source = "./modules/api" }
  variables {
    image        = null
    served_image = null
  }

  assert {
    condition     = length(aws_ecs_service.this) + length(aws_ecs_service.fixed) + length(aws_ecs_task_definition.this) + length(aws_appautoscaling_target.this) + length(aws_scheduler_schedule.sweep) == 0
    error_message = "A service of an image that is not there would fail for ever."
  }
}

run "the_number_of_tasks_follows_load" {
  module { source = "./modules/api" }

  assert {
    condition = toset([
      for policy in [aws_appautoscaling_policy.cpu[0], aws_appautoscaling_policy.requests[0]] :
      policy.target_tracking_scaling_policy_configuration[0].predefined_metric_specification[0].predefined_metric_type
    ]) == toset(["ECSServiceAverageCPUUtilization", "ALBRequestCountPerTarget"])
    error_message = "CPU and requests both add tasks."
  }
}

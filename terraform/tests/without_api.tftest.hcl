# Without the API there is what settles, and nothing that LocalStack's community edition lacks.

mock_provider "aws" {}

variables {
  region     = "us-east-1"
  lambda_zip = "versions.tf" # Any file that is there will do.
  api        = false
}

run "what_settles_is_there_and_nothing_else" {
  command = plan

  assert {
    condition     = length(module.api) + length(module.network) == 0
    error_message = "The API's parts are there all the same."
  }

  assert {
    condition     = output.table_name == "distributed-counter" && output.function_name == "distributed-counter-settle" && output.api_url == null && output.service_name == null
    error_message = "Outputs of what is there must have values, those of what is not must be null."
  }

  assert {
    condition = toset(output.alarm_names) == toset([
      for alarm in ["dead-letters", "iterator-age", "lambda-errors", "lambda-throttles", "malformed-records", "mapping", "throttled-requests"] : "distributed-counter-${alarm}"
    ])
    error_message = "There are alarms on a load balancer or on sweeps, of which there are none."
  }
}

# The table: what the core relies on, and that nothing in it is lost by accident.

mock_provider "aws" {}

run "it_is_what_the_core_relies_on" {
  command = plan
  module { source = "./modules/table" }

  variables {
    name                = "counters"
    deletion_protection = true
  }

  assert {
    condition = (
      aws_dynamodb_table.this.hash_key == "PK" && aws_dynamodb_table.this.range_key == "SK" &&
      aws_dynamodb_table.this.billing_mode == "PAY_PER_REQUEST" &&
      aws_dynamodb_table.this.stream_view_type == "NEW_AND_OLD_IMAGES" &&
      aws_dynamodb_table.this.ttl[0].attribute_name == "expires_at"
    )
    error_message = "Keys, billing, stream or TTL are not those of counters/keys.py and docs/design/engine.md."
  }

  assert {
    condition = (
      aws_dynamodb_table.this.point_in_time_recovery[0].enabled &&
      aws_dynamodb_table.this.server_side_encryption[0].enabled &&
      aws_dynamodb_table.this.deletion_protection_enabled
    )
    error_message = "The table must be encrypted, recoverable and protected."
  }
}

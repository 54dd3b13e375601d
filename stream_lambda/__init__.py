"""The stream's side: an AWS Lambda function that settles what the table's stream reports.

Ships as a small zip of pure Python (``stack/package.py``): standard library, the runtime's boto3, and the few modules
of ``counters`` that need nothing else.
"""

"""The Amazon SQS driver of async-task; users reach it as `driver="sqs"`."""

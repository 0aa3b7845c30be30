"""RabbitMQ driver of async-task. Its plug-in module is `async_task_rabbitmq.plugin`."""

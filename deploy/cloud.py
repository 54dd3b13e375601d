"""What a deployment asks AWS itself, or the emulator that stands in for it."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Final, NamedTuple

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from stack import aws
from stack.errors import StackError

if TYPE_CHECKING:
    from mypy_boto3_ecr import ECRClient
    from mypy_boto3_ecs import ECSClient

# To ask who we are, any region will do.
_ANY_REGION: Final = "us-east-1"


class Login(NamedTuple):
    """What a registry wants to know.

    Attributes:
        user: The user's name.
        password: Good for twelve hours.
    """

    user: str
    password: str


class Cloud:
    """AWS with the user's own credentials, or an emulator with some that no account has.

    Args:
        endpoint: Address of the emulator; None is AWS.

    Raises:
        StackError: AWS does not know who we are.
    """

    def __init__(self, endpoint: str | None) -> None:
        self._endpoint = endpoint
        try:
            if endpoint is None:
                self._session = boto3.Session()
                self._session.client("sts", region_name=_ANY_REGION).get_caller_identity()
            else:
                self._session = boto3.Session(aws.ACCESS_KEY_ID, aws.SECRET_ACCESS_KEY)
        except (BotoCoreError, ClientError) as exc:
            raise StackError(f"No AWS credentials that work, where the AWS SDK looks for them: {exc}") from exc

    def has_repository(self, name: str, region: str) -> bool:
        """Tell whether there is a repository to push to."""
        client = self._ecr(region)
        try:
            client.describe_repositories(repositoryNames=[name])
        except client.exceptions.RepositoryNotFoundException:
            return False
        return True

    def has_image(self, repository: str, tag: str, region: str) -> bool:
        """Tell whether a repository has an image of that tag, which then cannot be overwritten."""
        client = self._ecr(region)
        try:
            answer = client.describe_images(repositoryName=repository, imageIds=[{"imageTag": tag}])
        except client.exceptions.ImageNotFoundException:
            return False
        # MiniStack answers with nothing instead.
        return bool(answer["imageDetails"])

    def login(self, region: str) -> Login:
        """Return what the registry of the region wants to know before it takes an image."""
        token = self._ecr(region).get_authorization_token()["authorizationData"][0]["authorizationToken"]
        return Login(*base64.b64decode(token).decode().split(":", 1))

    def ecs(self, region: str) -> ECSClient:
        """Return a client for services."""
        return self._session.client("ecs", region_name=region, endpoint_url=self._endpoint)

    def _ecr(self, region: str) -> ECRClient:
        return self._session.client("ecr", region_name=region, endpoint_url=self._endpoint)

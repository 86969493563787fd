# SPDX-License-Identifier: Apache-2.0
"""Real S3 servers whose users may do exactly what they are granted: MinIO by policies of sessions, as IAM has them, and
versitygw by policies of buckets.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config
from process import PROJECT, run_checked
from s3 import S3Server

USERS = {"old": "old", "new": "new", "app": "new"}
"""Profiles, each with the one bucket that it has rights on."""
SECRET = "secret-of-a-user-with-few-rights"
OF_BUCKETS = frozenset({"s3:ListBucket", "s3:ListBucketVersions", "s3:ListBucketMultipartUploads"})
"""Actions on a bucket; the others are on its objects."""


def statements(bucket: str, actions: Iterable[str]) -> list[dict[str, Any]]:
    """What in a policy allows `actions` on `bucket` and its objects, and nothing else."""
    arn = f"arn:aws:s3:::{bucket}"
    asked = set(actions)
    made = [(sorted(asked & OF_BUCKETS), arn), (sorted(asked - OF_BUCKETS), f"{arn}/*")]
    return [{"Effect": "Allow", "Action": names, "Resource": where} for names, where in made if names]


def profile(name: str, keys: dict[str, str]) -> str:
    """As it stands in a shared file of AWS."""
    return f"[{name}]\n" + "".join(f"{key} = {value}\n" for key, value in keys.items())


class RightsServer(S3Server):
    """A server with the buckets ``old`` and ``new``, and `USERS` without any right."""

    def __init__(self, server: str) -> None:
        super().__init__("old", "new", server=server)

    def client(self, service: str = "s3") -> Any:
        """boto3 with all rights."""
        session = boto3.session.Session(
            aws_access_key_id=self.environment["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=self.environment["AWS_SECRET_ACCESS_KEY"],
            region_name=self.environment["AWS_REGION"],
        )
        return session.client(service, endpoint_url=self.endpoint, config=Config(s3={"addressing_style": "path"}))

    def make_users(self) -> None:
        """Of versitygw; those of MinIO are made with their rights."""
        if self.server == "minio":
            return
        root = self.environment
        for name in USERS:
            run_checked(
                [PROJECT / "build/tools/bin/versitygw", "admin", "--endpoint-url", self.endpoint, "--region", "us-east-1",
                 "--access", root["AWS_ACCESS_KEY_ID"], "--secret", root["AWS_SECRET_ACCESS_KEY"],
                 "create-user", "--access", name, "--secret", SECRET, "--role", "user"]
            )  # fmt: skip

    def grant(self, credentials: Path, **actions: Iterable[str]) -> None:
        """Writes the profiles of `USERS` with these rights and no others into `credentials`, a shared file of AWS."""
        allowed = {name: statements(bucket, actions.get(name, ())) for name, bucket in USERS.items()}
        is_minio = self.server == "minio"
        keys = {name: self.session(some) for name, some in allowed.items()} if is_minio else self._users(allowed)
        credentials.write_text("".join(profile(name, keys[name]) for name in USERS))

    def session(self, allowed: list[dict[str, Any]]) -> dict[str, str]:
        """A user of MinIO who may do this and nothing else, as a profile has it."""
        nothing = [{"Effect": "Deny", "Action": ["s3:*"], "Resource": "arn:aws:s3:::*"}]  # a policy has a statement
        sts = self.client("sts")
        made = sts.assume_role(
            RoleArn="arn:aws:iam::123456789012:role/few",
            RoleSessionName="few",
            Policy=json.dumps({"Version": "2012-10-17", "Statement": allowed or nothing}),
        )["Credentials"]
        sts.close()
        return {
            "aws_access_key_id": made["AccessKeyId"],
            "aws_secret_access_key": made["SecretAccessKey"],
            "aws_session_token": made["SessionToken"],
        }

    def _users(self, allowed: dict[str, list[dict[str, Any]]]) -> dict[str, dict[str, str]]:
        s3 = self.client()
        for bucket in self.buckets:
            some = [
                {**one, "Principal": {"AWS": [name]}}
                for name, of in allowed.items()
                for one in of
                if USERS[name] == bucket
            ]
            if some:
                s3.put_bucket_policy(Bucket=bucket, Policy=json.dumps({"Version": "2012-10-17", "Statement": some}))
            else:
                s3.delete_bucket_policy(Bucket=bucket)
        s3.close()
        return {name: {"aws_access_key_id": name, "aws_secret_access_key": SECRET} for name in USERS}

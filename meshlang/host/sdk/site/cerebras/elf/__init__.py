"""The host modules of the first SDKs."""

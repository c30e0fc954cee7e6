# shellcheck shell=bash
# shellcheck disable=SC2154 # $work is the scratch folder of whoever sources this; FAIRLEAD_MOTO comes from `need moto`.
# Sourced: what stands in for AWS, and the secrets in it.

# start_moto: what stands in for AWS, for an agent that is started after it.
start_moto() {
	mkfifo "$work/moto.in"
	"$FAIRLEAD_MOTO" tests/aws/serve_moto.py <"$work/moto.in" >"$work/moto.json" 2>/dev/null 7<&- 8>&- &
	moto_pid=$!
	# It ends when nobody holds its input any more.
	exec 9>"$work/moto.in"
	local port _
	for _ in {1..300}; do
		[[ -s $work/moto.json ]] && break
		sleep 0.1
	done
	port=$(sed -nE 's/.*"port": ([0-9]+).*/\1/p' "$work/moto.json")
	export AWS_ENDPOINT_URL=http://127.0.0.1:$port AWS_REGION=eu-west-1 AWS_EC2_METADATA_DISABLED=true
	export AWS_ACCESS_KEY_ID=AKIAFAIRLEADDEMO AWS_SECRET_ACCESS_KEY=for-the-demo-only
}

# put_secret NAME VALUE makes a secret in AWS, or gives it a newer value.
put_secret() {
	"$FAIRLEAD_MOTO" - "$1" "$2" <<-'PYTHON'
		import os
		import sys
		import boto3
		client = boto3.client("secretsmanager", os.environ["AWS_REGION"])
		name, value = sys.argv[1:]
		try:
		    client.create_secret(Name=name, SecretString=value)
		except client.exceptions.ResourceExistsException:
		    client.put_secret_value(SecretId=name, SecretString=value)
	PYTHON
}

stop_moto() {
	[[ -n ${moto_pid:-} ]] || return 0
	exec 9>&-
	wait "$moto_pid" 2>/dev/null || true
	moto_pid=''
}

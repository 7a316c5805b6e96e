#!/bin/sh
# What of the Supabase CLI matters here, over the real Docker: `start` takes containers that merely
# exist for a running project, as the CLI does; `stop` removes them.
echo "$1" >>"$CLI_LOG"
label=com.supabase.cli.project=$(sed -n 's/^project_id = "\(.*\)"/\1/p' supabase/config.toml)
project=${label#*=}
case $1 in
--version)
	echo 3.1.0
	;;
start)
	if [ -n "$(docker ps -aq --filter "label=$label")" ]; then
		echo 'supabase start is already running.' >&2
		exit 0
	fi
	for service in db kong auth rest; do
		docker run -d --network=host --name "supabase_${service}_$project" --label "$label" \
			-e SUPABASE_ANON_KEY=anon container /container "$service" >/dev/null || exit 1
	done
	echo Started supabase local development setup.
	;;
stop)
	echo Stopping containers... >&2
	docker rm -f $(docker ps -aq --filter "label=$label") >/dev/null
	echo Stopped supabase local development setup.
	;;
esac

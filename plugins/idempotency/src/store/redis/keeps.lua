return string.match(redis.call('INFO', 'memory'), 'maxmemory_policy:noeviction') and 1 or 0

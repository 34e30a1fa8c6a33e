import assert from 'node:assert/strict'
import { createServer } from 'node:net'
import test from 'node:test'
import { type BotHub, botsHere, startBotHub } from '../support/bot-hub.ts'
import { eventually } from '../support/errand-command.ts'
import { sized } from '../support/size.ts'
import { ownAddress } from '../support/telegram-stand-in.ts'

const skip = await botsHere()
const MAX_PROCESSES = 100

/** Returns what a bot has printed that runs this script and then says "done". */
async function printedBy(hub: BotHub, botId: string, script: string, env_vars?: Record<string, string>) {
  const { run_id } = await hub.startShell(botId, `${script}\necho done; exec sleep 1000000`, { env_vars })
  await hub.untilPrinted(run_id, /^done\n/m)
  const text = await hub.printed(run_id)
  await hub.client.bots.stop(botId)
  return text
}

test('bots withstand attacks from inside', { skip }, async (t) => {
  // A service on all addresses of this machine, like any service that runs beside the runner.
  const service = createServer((socket) => socket.on('error', () => {}).end('here'))
  const allowed = createServer((socket) => socket.on('error', () => {}).end('here'))
  for (const server of [service, allowed])
    await new Promise<void>((resolve) => server.listen(0, '0.0.0.0', resolve))
  t.after(() => Promise.all([service, allowed].map((server) => server.close())))
  const [port, allowedPort] = [service, allowed].map((server) => (server.address() as { port: number }).port)

  const address = ownAddress()
  const hub = await startBotHub(t, {
    host: address,
    hubEnv: { ERRAND_MAX_BOTS: '20' },
    runnerEnv: { ERRAND_BOT_ALLOW: `${address}:${allowedPort}` },
  })
  const bystander = await hub.startShell(
    'bystander',
    `(while :; do nc -l -p 8000 </dev/null; done) &
    until nc -w 1 127.0.0.1 8000 </dev/null; do sleep 0.1; done; echo listens
    while :; do echo alive; sleep 0.2; done`,
    { env_vars: { BYSTANDER_TOKEN: 'known-to-the-bystander-alone' } },
  )
  await hub.untilPrinted(bystander.run_id, 'listens')
  const aliveMore = async () => {
    const { length } = await hub.printed(bystander.run_id)
    await eventually('a sign of life', async () => (await hub.printed(bystander.run_id)).length > length)
  }

  await t.test('a fork bomb stays in its container, at its limit, and ends with it', async () => {
    const { run_id } = await hub.startShell(
      'forks',
      'bomb() { bomb & bomb & exec sleep 1000000; }; (bomb &) 2>/dev/null; echo lit; exec sleep 1000000',
    )
    await hub.untilPrinted(run_id, 'lit')
    const container = await hub.containerOf('forks')
    const count = async () => (await container.stats({ stream: false })).pids_stats?.current ?? 0
    await eventually('a running fork bomb', async () => {
      const now = await count()
      assert.ok(now <= MAX_PROCESSES, `${now} processes`)
      return now > MAX_PROCESSES / 2
    })
    await aliveMore()
    await hub.client.bots.stop('forks')
    await hub.until('forks', 'stopped')
    await assert.rejects(container.inspect(), { statusCode: 404 })
  })

  await t.test('a bot that takes 300 MB crashes as out of memory', async () => {
    await hub.startShell('memory', 'exec dd if=/dev/zero of=/dev/null bs=300M count=1')
    const bot = await hub.until('memory', 'crashed')
    assert.deepEqual([bot.reason, bot.exit_code], ['oom', 137])
    assert.match(bot.message!, /256 ?MB/)
  })

  await t.test('the disk cannot be filled, and only /tmp and memory are writable', async () => {
    const text = await printedBy(
      hub,
      'disk',
      `dd if=/dev/zero of=/tmp/fill bs=1M count=500 2>&1 | grep -o 'No space left' && wc -c </tmp/fill; rm /tmp/fill
      for place in / /etc /root /var /usr/bin /home; do touch $place/new 2>/dev/null && echo wrote to $place; done
      grep -E ' (ext4|xfs|btrfs|overlay|fuse[^ ]*) (rw|.*,rw)' /proc/mounts | grep -vE ' /etc/(hosts|hostname|resolv.conf) '
      for file in /etc/hosts /etc/hostname /etc/resolv.conf; do echo more 2>/dev/null >>$file && echo wrote to $file; done`,
    )
    assert.equal(text, `No space left\n${64 * 1024 ** 2}\ndone\n`)
  })

  await t.test('a bot has only one capability, gains none, and sees no process of the machine', async () => {
    const text = await printedBy(
      hub,
      'powers',
      `grep -E 'CapEff|CapBnd|NoNewPrivs' /proc/self/status | tr -d '\\t'
      mount -t tmpfs none /tmp 2>/dev/null && echo mounted
      mknod /tmp/disk b 8 0 2>/dev/null && echo made a device
      chroot / true 2>/dev/null && echo changed its root
      hostname other 2>/dev/null && echo renamed the machine
      kill -9 -1 2>/dev/null; ls /proc | grep -cE '^[0-9]+$' | awk '$1 > 8 { print $1 " processes" }'
      ls /var/run/docker.sock /dev/sda /dev/kmsg 2>/dev/null`,
    )
    // Bit 10 is NET_BIND_SERVICE.
    const only = (1 << 10).toString(16).padStart(16, '0')
    assert.equal(text, `CapEff:${only}\nCapBnd:${only}\nNoNewPrivs:1\ndone\n`)
  })

  await t.test(
    'a bot reaches neither the machine, the hub, its services, another bot nor a metadata address',
    async () => {
      const inspected = await (await hub.containerOf('bystander')).inspect()
      const { IPAddress, Gateway } = inspected.NetworkSettings.Networks[hub.network()]!
      const places = [
        ['allowed', address, allowedPort],
        ['service', address, port],
        ['service by the gateway', Gateway, port],
        ['hub', address, new URL(hub.url).port],
        ['bot', IPAddress, 8000],
        ['bot by name', inspected.Name.slice(1), 8000],
        ['metadata', '169.254.169.254', 80],
        ['engine', Gateway, 2375],
        ['ssh', Gateway, 22],
      ]
      const connect = places.map(
        ([name, host, port]) =>
          // An answer that should come gets enough time, however busy the machine is.
          `(nc -w ${name === 'allowed' ? 60 : 2} ${host} ${port} </dev/null >/dev/null 2>&1 && echo reached ${name}; true) &`,
      )
      const ping = [address, Gateway, IPAddress, '169.254.169.254'].map(
        (host) => `(ping -c 1 -W 2 ${host} >/dev/null 2>&1 && echo pinged ${host}; true) &`,
      )
      const names = `nslookup ${IPAddress} 2>/dev/null | grep -o bystander`
      const text = await printedBy(hub, 'network', `${[...connect, ...ping, names].join('\n')}\nwait`)
      assert.equal(text, 'reached allowed\ndone\n')
    },
  )

  await t.test('a bot does not see the variables of another bot', async () => {
    const text = await printedBy(
      hub,
      'curious',
      "cat /proc/*/environ | tr '\\0' '\\n' | grep -E 'TOKEN|ERRAND|HUB|SECRET' | sort -u",
      { OWN_TOKEN: 'of-the-curious-one' },
    )
    assert.equal(text, 'OWN_TOKEN=***\ndone\n')
  })

  await t.test(
    'a flood of log output is limited everywhere, and a line says how much was left out',
    async () => {
      const bytes = sized('bytes of log from a bot that floods it', 300_000_000, 1_000_000_000)
      const { run_id } = await hub.startShell(
        'loud',
        `line=$(printf "%8000s" x); (while :; do echo "$line$line"; done) | head -c ${bytes}; echo; echo over`,
        { limits: { log: '1MB', cpus: 2 } },
      )
      await hub.until('loud', 'stopped')
      const text = await hub.printed(run_id)
      assert.ok(text.length < 1.1 * 1024 ** 2, `${text.length} bytes`)
      // The engine itself drops log that is not read in time.
      const [, counted] = /\n\[errand: ([\d,]+) bytes of log left out\]\n$/.exec(text) ?? []
      assert.ok(Number(counted?.replaceAll(',', '')) >= bytes / 10, `${counted} bytes left out`)
      assert.match(text, /^\[errand: limit of 1,048,576 bytes of log per day reached/m)
    },
  )

  await aliveMore()
})

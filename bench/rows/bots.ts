import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { removeBotNetwork } from '../../test/support/docker/bot-network.ts'
import { baseImage, dockerHere } from '../../test/support/docker/docker.ts'
import { type BenchHub, startHub } from '../hub.ts'
import { alternate, median, type Row } from '../measure.ts'

const ROUNDS = 15
const NETWORK = 'errand-bench'
const command = ['sh', '-c', 'echo up; exec sleep 1000000']

/** The limits of a bot that asks for nothing. */
const held = [
  ...[
    '--memory',
    '256m',
    '--memory-swap',
    '256m',
    '--cpus',
    '0.5',
    '--pids-limit',
    '100',
    '--shm-size',
    '64m',
  ],
  ...['--cap-drop', 'ALL', '--cap-add', 'NET_BIND_SERVICE', '--security-opt', 'no-new-privileges'],
  ...['--read-only', '--tmpfs', '/tmp:rw,exec,nosuid,nodev,size=67108864,mode=1777', '--init'],
]

/**
 * Times a bot from the request to its first line at a reader of its events. The baseline is `docker run` of the same
 * image with the same limits, to that line: on the engine's own network, and, among the details, on the network of
 * bots, for which an engine starts a name server.
 */
export async function botStart(): Promise<Row[]> {
  const none = await dockerHere()
  if (none !== false) {
    console.log(`skipped bot-start: ${none}`)
    return []
  }
  const image = await baseImage('busybox:latest')
  const hub = await startHub({ env: { DOCKER_NETWORK: NETWORK, ERRAND_LOCAL_IMAGES: image } })
  try {
    await startedBotMs(hub, image)
    const sameNetwork: number[] = []
    const { value, baseline } = await alternate(
      ROUNDS,
      () => startedBotMs(hub, image),
      async () => {
        sameNetwork.push(await dockerRunMs(image, NETWORK))
        return await dockerRunMs(image, 'bridge')
      },
    )
    return [
      {
        name: 'start of a bot to its first log line',
        unit: 'ms',
        value,
        baseline: { what: 'docker run with the same limits on the default network', value: baseline },
        budget: { what: '<= 1.2 x', holds: value / baseline <= 1.2 },
        details: { 'docker run on the network of bots': median(sameNetwork) },
      },
    ]
  } finally {
    await hub.stop()
    await removeBotNetwork(NETWORK)
  }
}

async function startedBotMs({ client }: BenchHub, image: string): Promise<number> {
  const start = performance.now()
  const { run_id } = await client.bots.start({ bot_id: 'bench', docker_image: image, command })
  let ms = Number.NaN
  for await (const event of client.events(run_id))
    if (event.type === 'output') {
      ms = performance.now() - start
      break
    }
  await client.bots.stop('bench')
  for await (const _event of client.events(run_id));
  return ms
}

async function dockerRunMs(image: string, network: string): Promise<number> {
  const name = `${NETWORK}-${process.pid}`
  const start = performance.now()
  const child = spawn(
    'docker',
    ['run', '--rm', '--name', name, '--network', network, ...held, image, ...command],
    {
      stdio: ['ignore', 'pipe', 'inherit'],
    },
  )
  await once(child.stdout, 'data')
  const ms = performance.now() - start
  const closed = once(child, 'close')
  await once(spawn('docker', ['kill', name], { stdio: 'ignore' }), 'close')
  await closed
  return ms
}

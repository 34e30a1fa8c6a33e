import { execFile } from 'node:child_process'
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { setting } from '../config/read-setting.ts'
import { MachineContainers } from './containers/machine-containers.ts'
import { ProxySupervisor } from './proxy/proxy-supervisor.ts'
import { Boxes, type BoxesOptions } from './sandbox/boxes.ts'
import { findBubblewrap } from './sandbox/probe.ts'

export interface OpenBoxesOptions {
  env: NodeJS.ProcessEnv
  /** Folder for state that all boxes share; created if it does not exist. */
  stateDir: string
  /** Files and folders of the hub and the runner that no box can see. */
  hidden: readonly string[]
  /** URL of the hub, which no box can reach whatever it is allowed; absent if there is no hub. */
  hub?: string
}

/** Sets up the boxes that this machine can make, according to its settings. Throws `invalid_argument`. */
export async function openBoxes({ env, stateDir, hidden, hub }: OpenBoxesOptions): Promise<Boxes> {
  const mounts = setting(env, 'ERRAND_SANDBOX_MOUNTS')
  const settings = {
    least: setting(env, 'ERRAND_ISOLATION'),
    network: setting(env, 'ERRAND_NETWORK'),
    fromHub: hub !== undefined,
    required: setting(env, 'ERRAND_SANDBOX_REQUIRED') === 'yes',
    provisionedBox: setting(env, 'ERRAND_MADE_BOX'),
    mounts: {
      writable: mounts.filter(({ writable }) => writable).map(({ path }) => path),
      readable: mounts.filter(({ writable }) => !writable).map(({ path }) => path),
    },
  }
  mkdirSync(stateDir, { recursive: true, mode: 0o700 })
  const { mounts: lent } = settings
  const image = setting(env, 'ERRAND_SANDBOX_IMAGE')
  const containers = new MachineContainers({ env, stateDir, image, mounts: lent, hidden })
  const [bubblewrap, identity] = await Promise.all([
    findBubblewrap({ env, stateDir }),
    gitIdentity(env),
    containers.look(),
  ])
  const never = hub === undefined ? [] : [placeOf(new URL(hub))]
  const supervisor = new ProxySupervisor({ folder: join(stateDir, 'proxy'), never, env })
  return new Boxes({ ...settings, stateDir, hidden, bubblewrap, identity, supervisor, containers })
}

const placeOf = ({ hostname, port, protocol }: URL): string =>
  `${hostname}:${port || (protocol === 'https:' ? 443 : 80)}`

/** Reads the Git identity for commits on this machine; its fields are undefined when Git is missing or has none. */
const gitIdentity = ({ PATH, HOME }: NodeJS.ProcessEnv): Promise<BoxesOptions['identity']> =>
  new Promise((resolve) => {
    const args = ['config', '--null', '--get-regexp', '^user\\.(name|email)$']
    const options = { cwd: '/', env: { PATH, HOME }, timeout: GIT_LIMIT_MS }
    execFile('git', args, options, (_error, stdout) => {
      const values = stdout.split('\0').map((entry) => entry.split('\n') as [string, string?])
      const of = (key: string) => values.findLast(([name]) => name === key)?.[1]
      resolve({ name: of('user.name'), email: of('user.email') })
    })
  })
const GIT_LIMIT_MS = 5_000

import { join } from 'node:path'
import type { ConfigFile } from '../../config/config-file.ts'
import type { Pool } from '../../contract/fleet/provisioning.ts'
import type { Log } from '../../platform/log.ts'
import type { SqliteStores } from '../../stores/sqlite/stores.ts'
import type { Auth } from '../auth/auth.ts'
import type { Secrets } from '../secrets.ts'
import { CommandProvisioner } from './drivers/command.ts'
import { DockerProvisioner } from './drivers/docker.ts'
import { KubernetesProvisioner } from './drivers/kubernetes/kubernetes.ts'
import { podSettings } from './drivers/kubernetes/manifests.ts'
import { ProcessProvisioner } from './drivers/process.ts'
import { MadeTokens } from './made-tokens.ts'
import { newHubId } from './names.ts'
import { PoolSettings } from './pool-settings.ts'
import { Pools, type PoolsOptions } from './pools.ts'
import type { Provisioner } from './provisioner.ts'

export interface MakersOptions {
  configFile: Pick<ConfigFile, 'pools'>
  stores: Pick<SqliteStores, 'accounts' | 'madeRunners'>
  auth: Pick<Auth, 'changed'>
  secrets: Pick<Secrets, 'ofHub'>
  /** The hub's folder. */
  data: string
  /** The program of a runner, and its arguments. */
  runner: readonly string[]
  /** The environment of made processes, and of the operator's programs: without what these may not know. */
  env: Readonly<Record<string, string | undefined>>
  isOpen(runId: string): boolean
  setAsideSince: PoolsOptions['setAsideSince']
  /** The hub's address. */
  url(): string
  /** How the engines did. */
  outside?: PoolsOptions['outside']
  /** Between looks at what there is, and of one call to an engine; default as `Pools` and the drivers say. */
  patience?: { sweepMs?: number; engineMs?: number }
  log: Log
}

/** Under this name the store has the id that a hub's runners carry in their names. */
const HUB_ID = 'hub_id'

/** Opens the pools of a hub, with what it had made before. */
export async function openPools(options: MakersOptions): Promise<Pools> {
  const { configFile, stores, auth, secrets, data, runner, env, isOpen, setAsideSince, url, outside, log } =
    options
  const { sweepMs, engineMs } = options.patience ?? {}
  const { accounts } = stores
  const hub = await accounts.initSetting(HUB_ID, newHubId())
  // What goes wrong with its key has been told: sessions need the same.
  const secret = await secrets.ofHub('made_runners', () => undefined)
  const processes = new ProcessProvisioner({ runner, folder: join(data, 'made'), env })
  const dockerEnv = ({ docker_host }: Pool) =>
    docker_host === undefined ? env : { ...env, DOCKER_HOST: docker_host }
  const driverOf = (pool: Pool): Provisioner => {
    switch (pool.provisioner) {
      case 'process':
        return processes
      case 'command':
        return new CommandProvisioner({ command: pool.command!, hub, env })
      case 'docker':
        return new DockerProvisioner({
          ...pool,
          image: pool.image!,
          hub,
          env: dockerEnv(pool),
          withinMs: engineMs,
        })
      case 'kubernetes':
        return new KubernetesProvisioner({
          ...{ ...pool, hub, env, pods: podSettings(pool) },
          kubeconfig: pool.kubeconfig ?? env.KUBECONFIG,
          timeoutMs: engineMs,
        })
    }
  }
  const settings = new PoolSettings({ file: () => configFile.pools(), store: accounts, log })
  const pools = new Pools({
    ...{ hub, driverOf, isOpen, setAsideSince, url, outside, sweepMs, log },
    settings,
    store: stores.madeRunners,
    tokens: new MadeTokens({ accounts, auth, secret }),
  })
  await settings.recall()
  await pools.recall()
  return pools
}

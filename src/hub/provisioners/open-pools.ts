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
import { newHubId } from './names.ts'
import { PoolSettings } from './pool-settings.ts'
import { Pools, type PoolsOptions } from './pools.ts'
import { ProvisionedTokens } from './provisioned-tokens.ts'
import type { Provisioner } from './provisioner.ts'

export interface MakersOptions {
  configFile: Pick<ConfigFile, 'pools'>
  stores: Pick<SqliteStores, 'accounts' | 'provisionedRunners'>
  auth: Pick<Auth, 'changed'>
  secrets: Pick<Secrets, 'ofHub'>
  /** The hub's folder. */
  data: string
  /** Program of a runner, with its arguments. */
  runner: readonly string[]
  /** Environment of provisioned processes and of the operator's programs, without what they must not know. */
  env: Readonly<Record<string, string | undefined>>
  isOpen(runId: string): boolean
  setAsideSince: PoolsOptions['setAsideSince']
  /** Returns the hub's address. */
  url(): string
  /** Notes which calls to the engines worked and which failed. */
  outside?: PoolsOptions['outside']
  /** Milliseconds between polls, and per call to an engine. The defaults are those of `Pools` and of the drivers. */
  patience?: { sweepMs?: number; engineMs?: number }
  log: Log
}

/** Key of the store for the id that a hub's runners have in their names. */
const HUB_ID = 'hub_id'

/** Opens the pools of a hub, including the runners that it provisioned before. */
export async function openPools(options: MakersOptions): Promise<Pools> {
  const { configFile, stores, auth, secrets, data, runner, env, isOpen, setAsideSince, url, outside, log } =
    options
  const { sweepMs, engineMs } = options.patience ?? {}
  const { accounts } = stores
  const hub = await accounts.initSetting(HUB_ID, newHubId())
  // Problems with the hub's key were reported already, because sessions need it too.
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
    store: stores.provisionedRunners,
    tokens: new ProvisionedTokens({ accounts, auth, secret }),
  })
  await settings.restore()
  await pools.restore()
  return pools
}

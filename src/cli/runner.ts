import { homedir } from 'node:os'
import { join, resolve } from 'node:path'
import type { AgentState } from '../contract/agent.ts'
import { ErrandError } from '../contract/errors.ts'
import { runnerEnvironment } from '../dialects/environment.ts'
import { command, UsageError } from './command.ts'
import { takeFolderLock } from './folder-lock.ts'
import { keyValues } from './key-values.ts'
import { productVersion } from './product-version.ts'
import { untilSignal } from './until-signal.ts'

export const runner = command({
  summary: 'Start a runner: it connects to a hub and carries out steps on this machine.',
  options: {
    url: { type: 'string', value: 'URL', help: 'The hub (default: ERRAND_HUB_URL)' },
    token: { type: 'string', value: 'TOKEN', help: 'Runner token (default: ERRAND_TOKEN)' },
    id: { type: 'string', value: 'ID', help: 'Unique id (default: ERRAND_RUNNER_ID, the hostname)' },
    group: { type: 'string', value: 'GROUP', help: 'Group (default: ERRAND_GROUP, "default")' },
    label: { type: 'string', multiple: true, value: 'K=V', help: 'Label that steps can ask for' },
    workspace: {
      type: 'string',
      value: 'DIR',
      help: 'Where work happens (default: WORKSPACE_DIR, ~/.errand/workspace)',
    },
    'allow-dir': {
      type: 'string',
      multiple: true,
      value: 'DIR',
      help: 'Folder that agents may work in, beside the workspaces of their runs',
    },
    slots: { type: 'string', value: 'N', help: 'Attempts at once (default: four for each core, at least 8)' },
    'until-stdin-ends': {
      type: 'boolean',
      help: 'End when standard input does: for a program that starts it',
    },
  },
  examples: [
    'errand runner --url http://hub:3000 --token errand_runner_...',
    'errand runner --group gpu --label gpu=1',
  ],
  async run(options) {
    const found = runnerEnvironment(process.env)
    const url = options.url ?? found.hubUrl
    const token = options.token ?? found.token
    if (url === undefined)
      throw new UsageError('a runner needs the address of its hub', 'give it with --url or ERRAND_HUB_URL')
    if (token === undefined) {
      throw new UsageError(
        'a runner needs a token',
        'make one with: errand tokens create NAME --scope runner, and give it with --token or ERRAND_TOKEN',
      )
    }
    const folder = options.workspace ?? found.workspaceDir ?? join(homedir(), '.errand', 'workspace')
    const lock = takeFolderLock({ path: folder, what: 'workspace', option: '--workspace' }, 'lock')
    if ('holder' in lock) {
      throw new ErrandError(
        'data_folder_locked',
        `The workspace ${folder} is in use by the runner with process id ${lock.holder.pid}.`,
        {
          hint: 'Give each runner on a machine its own folder with --workspace.',
        },
      )
    }
    const [{ openAttempts }, { builtinActionRegistry }, { HubLink }, agents] = await Promise.all([
      import('../runner/attempts/attempts.ts'),
      import('../actions/registry.ts'),
      import('../runner/link/hub-link.ts'),
      agentsHere(folder, options['allow-dir'] ?? []),
    ])
    const attempts = openAttempts({
      dir: join(folder, 'attempts'),
      workspaceDir: join(folder, 'runs'),
      outputDir: folder,
      registry: builtinActionRegistry,
      agents: agents.options,
    })
    const stop = new AbortController()
    void untilSignal().then(() => stop.abort())
    if (options['until-stdin-ends']) process.stdin.on('end', () => stop.abort()).resume()
    let watch: { close(): void } | undefined
    try {
      await attempts.recover()
      const link = new HubLink({
        url,
        token,
        attempts,
        signal: stop.signal,
        log: (message) => process.stderr.write(`${message}\n`),
        identity: {
          version: productVersion,
          runner_id: options.id ?? found.runnerId,
          group: options.group ?? found.group,
          labels: keyValues('--label', options.label),
          mode: found.mode,
          hostname: found.hostname,
          cpus: found.cpus,
          memory_bytes: found.memoryBytes,
          slots: slots(options.slots, found.cpus),
        },
      })
      watch = agents.watch((states) => link.tellAgents(states))
      await link.run()
    } finally {
      watch?.close()
      process.stdin.destroy()
      await attempts.close()
      lock.release()
    }
    return 0
  },
})

async function agentsHere(folder: string, allowedDirs: readonly string[]) {
  const [{ machineAgents }, { agentsFolder }, { AgentServices }, { AgentWatch }] = await Promise.all([
    import('../runner/sessions/machine-agents.ts'),
    import('../agents/install/native-binary.ts'),
    import('../runner/sessions/agent-services.ts'),
    import('../runner/sessions/agent-watch.ts'),
  ])
  const dirs = allowedDirs.map((dir) => resolve(dir))
  const options = machineAgents({ folder: agentsFolder(process.env), stateDir: folder, allowedDirs: dirs })
  const services = new AgentServices(options, process.env)
  return { options, watch: (tell: (agents: AgentState[]) => void) => new AgentWatch(services, tell) }
}

function slots(given: string | undefined, cpus: number): number {
  if (given === undefined) return Math.max(8, Math.floor(cpus) * 4)
  const number = Number(given)
  if (!Number.isInteger(number) || number < 1)
    throw new UsageError(`--slots is "${given}"`, 'it is a number from 1')
  return number
}

import { execFile } from 'node:child_process'
import { request } from 'node:http'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { setting } from '../../config/read-setting.ts'
import { ErrandError } from '../../contract/errors.ts'
import { procText } from '../../platform/proc.ts'
import { limitsHere, limitsText } from '../../runner/limits/limit-keeper.ts'
import { findBubblewrap } from '../../runner/sandbox/probe.ts'
import { agentsHere } from '../commands/agent/agents.ts'
import { localBoxes } from '../local/local-sessions.ts'
import { type Check, type CheckContext, ok, problem, warning } from './check.ts'

const WITHIN_MS = 5_000

export const docker: Check = {
  name: 'docker',
  async run({ env }: CheckContext) {
    const at = env.DOCKER_HOST || 'unix:///var/run/docker.sock'
    try {
      await ping(at)
      return [ok(`Docker answers at ${at}.`)]
    } catch (error) {
      return [
        warning(
          `Docker is not reachable at ${at}: ${(error as Error).message}.`,
          'Start Docker, let this user reach it, or set DOCKER_HOST. Only bots and containers need it.',
        ),
      ]
    }
  },
}

function ping(at: string): Promise<void> {
  const socketPath = at.startsWith('unix://') ? at.slice('unix://'.length) : undefined
  const { hostname, port } = socketPath === undefined ? new URL(at) : { hostname: 'localhost', port: '' }
  return new Promise((resolve, reject) => {
    const asking = request({
      socketPath,
      host: hostname,
      port: port || 2375,
      path: '/_ping',
      timeout: WITHIN_MS,
    })
    asking.on('timeout', () => asking.destroy(new Error('no answer')))
    asking.on('error', reject)
    asking.on('response', (response) => {
      response.resume()
      if (response.statusCode === 200) resolve()
      else reject(new Error(`it answers with status ${response.statusCode}`))
    })
    asking.end()
  })
}

export const sandbox: Check = {
  name: 'sandbox',
  async run({ env }: CheckContext) {
    const found = await findBubblewrap({ env })
    if (found.type === 'usable') return [ok(`Sandboxes use bubblewrap ${found.version}.`)]
    const isNeeded =
      setting(env, 'ERRAND_SANDBOX_REQUIRED') === 'yes' || setting(env, 'ERRAND_ISOLATION') === 'sandbox'
    if (isNeeded) return [problem(found.why, found.hint)]
    return [warning(`${found.why} Agents run without one here.`, found.hint)]
  },
}

export const container: Check = {
  name: 'container',
  async run() {
    const { usable, why } = (await localBoxes()).offered.container
    if (usable) return [ok('Steps can run in containers.')]
    return [
      warning(
        `Steps cannot run in containers: ${why}`,
        'Only steps with isolation: container need it; sandboxes do not.',
      ),
    ]
  },
}

const LEAST = 24

export const nodeVersion: Check = {
  name: 'node',
  async run() {
    const { version, execPath } = process
    if (Number(version.slice(1).split('.')[0]) >= LEAST) return [ok(`Node ${version} (${execPath})`)]
    return [
      problem(
        `Node ${version} is too old.`,
        `Install Node ${LEAST} or newer, or run "npm install" in the folder of Errand, which installs its own.`,
      ),
    ]
  },
}

export const git: Check = {
  name: 'git',
  async run() {
    try {
      const { stdout } = await promisify(execFile)('git', ['--version'])
      return [ok(stdout.trim())]
    } catch {
      return [
        warning(
          'git is not installed.',
          'Install it (apt-get install git) for steps that work on repositories.',
        ),
      ]
    }
  },
}

export const cgroups: Check = {
  name: 'limits',
  async run({ workspace, env }: CheckContext) {
    try {
      const { choice } = limitsHere(join(workspace, 'attempts'), env)
      const text = limitsText(choice)
      if (choice.heldBy !== 'watchdog') return [ok(text)]
      return [
        warning(
          text,
          'For exact limits, run the runner as root or in a cgroup that is delegated to it (systemd: Delegate=yes).',
        ),
      ]
    } catch (error) {
      if (!(error instanceof ErrandError)) throw error
      return [problem(error.message, error.hint ?? 'See docs/limits.md.')]
    }
  },
}

const CLOCK_WITHIN_MS = 10_000
/** Difference that is tolerated: the hub gives its time in whole seconds, and its answer takes time too. */
const MUCH_SECONDS = 5

export const clock: Check = {
  name: 'clock',
  async run({ hub: { url, known } }: CheckContext) {
    if (!known) return []
    const startedMs = Date.now()
    let date: string | null
    try {
      const response = await fetch(`${url.replace(/\/+$/, '')}/health`, {
        signal: AbortSignal.timeout(CLOCK_WITHIN_MS),
      })
      await response.body?.cancel()
      date = response.headers.get('date')
    } catch {
      // Another check reports that the hub cannot be reached.
      return []
    }
    const hubMs = Date.parse(date ?? '')
    if (Number.isNaN(hubMs)) return []
    const aheadSeconds = Math.round(((startedMs + Date.now()) / 2 - hubMs) / 1000)
    if (Math.abs(aheadSeconds) <= MUCH_SECONDS) return [ok('The clock agrees with the clock of the hub.')]
    const how = aheadSeconds > 0 ? 'ahead of' : 'behind'
    return [
      warning(
        `The clock is ${Math.abs(aheadSeconds)} s ${how} the clock of the hub.`,
        'Set both clocks by NTP (timedatectl set-ntp true): shown times and the expiry of tokens depend on it.',
      ),
    ]
  },
}

/** Open files below which a warning is given: a hub needs one for each reader and each runner. */
const FEW = 4096

export const descriptors: Check = {
  name: 'descriptors',
  async run() {
    const limits = procText('self', 'limits')
    // The system has no /proc.
    if (limits === undefined) return []
    // Node raises its own limit to the hard one, which is the second figure.
    const hard = /^Max open files\s+\S+\s+(\S+)/m.exec(limits)?.[1] ?? 'unlimited'
    if (hard === 'unlimited' || Number(hard) >= FEW) return [ok(`Open files: at most ${hard}.`)]
    return [
      warning(
        `At most ${hard} files can be open at once: too few for many runners and readers.`,
        'Raise the limit: ulimit -Hn 65536 as root, or LimitNOFILE=65536 in the systemd unit.',
      ),
    ]
  },
}

export const codingAgents: Check = {
  name: 'agents',
  async run() {
    const agents = (await agentsHere()).filter(({ name }) => name !== 'acp')
    const usable = agents.filter((agent) => agent.usable)
    const findings = usable.map(({ title, version }) => ok(`${title} ${version ?? ''}`.trimEnd()))
    const broken = agents.filter(
      ({ usable, installed, version }) => !usable && installed && version !== undefined,
    )
    for (const { title, why, install } of broken)
      findings.push(
        warning(`${title} cannot be used: ${why?.replace(/\.$/, '')}.`, install ?? 'See docs/agents.md.'),
      )
    if (usable.length > 0 || broken.length > 0) return findings
    return [
      warning(
        'No coding agent can be used here.',
        'Install them with: errand agents install. Then errand agents list shows what is missing.',
      ),
    ]
  },
}

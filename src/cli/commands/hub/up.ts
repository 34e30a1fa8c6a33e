import { existsSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { parseListenAddress } from '../../../compat/host-agent/listen-address.ts'
import {
  allowedHosts,
  artifactLimits,
  botEnvironment,
  configuredTokens,
  leaseOf,
  notifyEnvironment,
  outputLimits,
  provisionedEnvironment,
  retentionMs,
  runnerEnvironment,
  slotsOption,
  taskEnvironment,
  trustedProxies,
} from '../../../config/environment.ts'
import { setting } from '../../../config/read-setting.ts'
import { settings } from '../../../config/settings.ts'
import { ErrandError } from '../../../contract/errors.ts'
import { giveBackMemory } from '../../../platform/release-memory.ts'
import { shownElsewhere, shownHere } from '../../../platform/shown-address.ts'
import { command, UsageError } from '../../command.ts'
import { localHubFile, writeLogin } from '../../connection.ts'
import { dataFolder } from '../../local/errand-home.ts'
import { takeFolderLock } from '../../local/folder-lock.ts'
import { portOption } from '../../option-values.ts'
import { programLog, untilSignal } from '../../until-signal.ts'
import { productVersion } from '../../version.ts'

export const up = command({
  summary: 'Start a hub with its own runner beside it.',
  options: {
    host: { type: 'string', value: 'HOST', help: 'Address to listen on (default 127.0.0.1)' },
    port: { type: 'string', short: 'p', value: 'PORT', help: 'Port (default 3000)' },
    data: { type: 'string', value: 'DIR', help: 'Data folder (default: ERRAND_DATA, ~/.errand/data)' },
    'allow-dir': {
      type: 'string',
      multiple: true,
      value: 'DIR',
      help: 'Folder that agents may work in, besides the folders of their runs',
    },
    config: {
      type: 'string',
      value: 'FILE',
      help: 'File with repositories and their groups (default: ERRAND_CONFIG, errand.yaml or ados.yaml here or in the data folder)',
    },
    retention: {
      type: 'string',
      value: 'TIME',
      help: `How long to keep ended runs, such as 30d, or forever (default: ERRAND_RETENTION, ${settings.ERRAND_RETENTION.default})`,
    },
    heartbeat: {
      type: 'string',
      value: 'TIME',
      help: `How often a runner is asked for a sign of life; after three without an answer its connection is renewed (default: ERRAND_HEARTBEAT, ${settings.ERRAND_HEARTBEAT.default})`,
    },
    'lost-after': {
      type: 'string',
      value: 'TIME',
      help: `How long a runner may be away before its work is lost (default: ERRAND_LOST_AFTER, ${settings.ERRAND_LOST_AFTER.default})`,
    },
    new: {
      type: 'boolean',
      help: 'Start fresh if the database is missing; other files are moved aside',
    },
    slots: {
      type: 'string',
      value: 'N',
      help: 'Steps that its runner runs at once (default: ERRAND_SLOTS, four per core, at least 8)',
    },
    'no-runner': { type: 'boolean', help: 'Start only the hub' },
  },
  examples: ['errand up', 'errand up --port 8080 --data /srv/errand', 'errand up --host 0.0.0.0 --no-runner'],
  async run(options) {
    const [{ startHub }, { configPath }, quota, actions, { ChildRunner }, { sweepKilled }, servers] =
      await Promise.all([
        import('../../../hub/start-hub.ts'),
        import('../../../config/config-file.ts'),
        import('../../../hub/bots/bot-admission.ts'),
        import('../../../actions/registry.ts'),
        import('./child-runner.ts'),
        import('../../local/local-run-registry.ts'),
        import('../../../runner/git/policy-fetch.ts'),
      ])
    const log = programLog()
    const data = dataFolder(options.data)
    const allowedDirs = options['allow-dir'] ?? []
    const retainMs = retentionMs(options.retention, process.env)
    const lease = leaseOf(options, process.env)
    const openMetrics = setting(process.env, 'ERRAND_METRICS') === 'open'
    const hosts = allowedHosts(process.env)
    const proxies = trustedProxies(process.env)
    const readers = setting(process.env, 'ERRAND_MAX_READERS')
    const botQuota = { ...quota.DEFAULT_BOT_QUOTA, ...botEnvironment(process.env) }
    const slots = ownSlots(options)
    const hubOptions = {
      ...address(options),
      data,
      isNew: options.new,
      version: productVersion,
      env: process.env,
      config: configPath(options.config, data, process.env),
      // Processes outlive their runner and sessions have a folder; nothing is left of what the runner does in itself.
      isDurable: (action: string) => actions.builtinActionRegistry[action]?.kind !== 'inline',
      log,
      retainMs,
      lease,
      openMetrics,
      hosts,
      proxies,
      ownRunner: !options['no-runner'],
      page: { folder: builtPage(), basePath: setting(process.env, 'ERRAND_BASE_PATH') },
      outputLimits: outputLimits(process.env),
      artifactLimits: artifactLimits(process.env),
      apiLimits: { ...(readers !== undefined && { readersPerUser: readers }) },
      botQuota,
      tasks: taskEnvironment(process.env),
      forgeFetch: servers.forgeFetch(setting(process.env, 'ERRAND_GIT_ALLOW'), 'ERRAND_GIT_ALLOW'),
      notify: notifyEnvironment(
        process.env,
        servers.forgeFetch(setting(process.env, 'ERRAND_NOTIFY_ALLOW'), 'ERRAND_NOTIFY_ALLOW')(undefined),
      ),
      configuredTokens: configuredTokens(process.env),
      makers: {
        runner: [process.execPath, process.argv[1]!, 'runner'],
        env: provisionedEnvironment(process.env, data),
      },
      own: {
        reportAdmin: ({ username, password }: { username: string; password: string }) =>
          void process.stdout.write(
            `The first user of this hub:\n  user     ${username}\n  password ${password}   (shown only once)\n`,
          ),
        opened: ({ url, localToken }: { url: string; localToken: string }) =>
          writeLogin({ url: shownHere(url), token: localToken }, localHubFile(data)),
      },
    }
    const lock = lockedDataFolder(data)
    const keepMemory = giveBackMemory()
    try {
      const hub = await startHub(hubOptions)
      const runner = options['no-runner']
        ? undefined
        : new ChildRunner({
            url: hub.url,
            token: hub.runnerToken!,
            localToken: hub.localToken!,
            workspace: join(data, 'runner'),
            data,
            allowedDirs,
            slots,
            log,
          })
      process.stdout.write(greeting(hub, data))
      const swept = sweepKilled()
      // A closing terminal ends the hub. Without one, SIGHUP makes it read its configuration again.
      if (process.stdin.isTTY) await untilSignal()
      else {
        process.on('SIGHUP', hub.reload)
        await untilSignal(['SIGINT', 'SIGTERM'])
        process.off('SIGHUP', hub.reload)
      }
      process.stdout.write('Stopping. The next start picks up what is still running.\n')
      await runner?.close()
      await hub.close()
      await swept
      return 0
    } finally {
      keepMemory()
      lock.release()
    }
  },
})

/** Locks the data folder for this process. Throws `data_folder_locked`. */
function lockedDataFolder(data: string): { release(): void } {
  const lock = takeFolderLock({ path: data, what: 'data folder', option: '--data' }, 'lock')
  if (!('holder' in lock)) return lock
  throw new ErrandError(
    'data_folder_locked',
    `The data folder ${data} is in use by process ${lock.holder.pid}.`,
    { hint: 'Stop that process first, or use another folder with --data.' },
  )
}

/** Returns the slots of the hub's own runner, and checks that runner's settings before anything starts. */
function ownSlots({
  slots,
  'no-runner': none,
}: {
  slots?: string
  'no-runner'?: boolean
}): number | undefined {
  if (!none) runnerEnvironment(process.env)
  else if (slots !== undefined)
    throw new UsageError('--slots and --no-runner cannot be combined', 'a hub without a runner runs no steps')
  return slotsOption(slots)
}

function address({ host, port }: { host?: string; port?: string }): { host: string; port: number } {
  const listen = parseListenAddress(setting(process.env, 'ERRAND_ADDR'))
  return { host: host ?? listen.host, port: port === undefined ? listen.port : portOption(port) }
}

/** Returns the folder of the built dashboard: beside the bundle of this command, or in `dist` for the source. */
function builtPage(): string {
  const folders = ['web', '../../../../dist/web'].map((name) => join(import.meta.dirname, name))
  return folders.find((folder) => existsSync(join(folder, 'index.html'))) ?? folders[0]!
}

function greeting({ url: bound }: { url: string }, data: string): string {
  const url = shownHere(bound)
  const outside = shownElsewhere(bound)
  const others = outside === url ? [] : [`  others   ${outside}`]
  const lines = [`Errand is up at ${url}`, ...others, `  API      ${url}/docs`, `  data     ${data}`]
  if (data !== dataFolder(undefined))
    lines.push(`  commands find it with ERRAND_DATA=${resolve(data)}, or after errand login`)
  const note = containerNote(bound)
  if (note !== undefined) lines.push(`  note     ${note}`)
  return `${lines.join('\n')}\n`
}

const MARKS = ['/.dockerenv', '/run/.containerenv']

/** Returns a note if only the hub's container can reach it: published ports do not lead to a container's loopback. */
export function containerNote(url: string, marks = MARKS): string | undefined {
  const { hostname } = new URL(url)
  const isLoopback = /^127\.|^localhost$|^\[::1\]$/.test(hostname)
  if (!isLoopback || !marks.some((file) => existsSync(file))) return undefined
  return 'Only this container can reach it. For others, and for published ports, set ERRAND_ADDR as deploy/compose.yaml does.'
}

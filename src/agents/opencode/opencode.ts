import { existsSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import type { AgentUpdateOf } from '../../contract/agent.ts'
import { ErrandError } from '../../contract/errors.ts'
import { type JsonObject, object, parsedObject, string } from '../acp/json-rpc.ts'
import type { AcpProfile } from '../acp/profile.ts'
import { AcpProtocol } from '../acp/protocol.ts'
import type { Agent, AgentInstall, AgentLaunch, AskMode, ModelService, SessionRequest } from '../agent.ts'
import { modelFailureOf } from '../failure.ts'
import { findProgram } from '../install/find-program.ts'
import { withMusl } from '../install/native-binary.ts'
import { anthropicService, openaiLike, openaiService } from '../model-services.ts'

const profile: AcpProfile = {
  agent: 'opencode',
  usage: { counts: 'last_step', cachedInInput: false, thoughtsApart: true },
  model: 'session',
  keyHint:
    'Set ANTHROPIC_API_KEY (or the key of another provider) for the step, or run "opencode auth login" on the runner.',
  reported: (method, params) => (method === RETRY ? retryOf(params) : undefined),
  // Its write tool reports no diff if it may write without asking.
  diff: ({ filePath, content }) =>
    typeof filePath === 'string' && typeof content === 'string'
      ? { path: filePath, new_text: content }
      : undefined,
}

const RETRY = '_errand/retry'
/**
 * Source of a plugin that reports OpenCode's retries, which are otherwise silent for over a minute and a half. The
 * Agent Client Protocol reserves methods with an underscore for extensions.
 */
const RETRY_PLUGIN = `export const ErrandRetries = async () => ({
  event: async ({ event }) => {
    const status = event.type === 'session.status' ? event.properties?.status : undefined
    if (status?.type !== 'retry') return
    const params = { message: String(status.message), attempt: status.attempt }
    process.stdout.write(JSON.stringify({ jsonrpc: '2.0', method: '${RETRY}', params }) + '\\n')
  },
})
`
function retryOf({ message, attempt }: JsonObject): AgentUpdateOf<'retry'> {
  const text = string(message) ?? 'The model service failed.'
  const attemptField = Number.isInteger(attempt) ? { attempt: Number(attempt) } : {}
  return { kind: 'retry', failure: modelFailureOf(text), message: text, ...attemptField }
}

const retriesPlugin = ({ home }: SessionRequest): string => join(home, 'opencode', 'errand-retries.js')

const quiet = {
  OPENCODE_DISABLE_AUTOUPDATE: '1',
  OPENCODE_DISABLE_MODELS_FETCH: '1',
  OPENCODE_DISABLE_DEFAULT_PLUGINS: '1',
  OPENCODE_DISABLE_LSP_DOWNLOAD: '1',
  OPENCODE_DISABLE_SHARE: '1',
}

/** Returns a service by its name in opencode's configuration. */
const like = (name: string, defaultUrl: string): ModelService => {
  const prefix = name.toUpperCase()
  const variables = { keys: [`${prefix}_API_KEY`], url: `${prefix}_BASE_URL` }
  return { ...openaiLike(name, variables, defaultUrl), addsVersion: true }
}
const services: readonly ModelService[] = [
  {
    ...anthropicService,
    keys: anthropicService.keys.filter(({ variable }) => variable === 'ANTHROPIC_API_KEY'),
  },
  { ...openaiService, addsVersion: true },
  like('openrouter', 'https://openrouter.ai/api/v1'),
  like('groq', 'https://api.groq.com/openai/v1'),
  like('mistral', 'https://api.mistral.ai/v1'),
  like('deepseek', 'https://api.deepseek.com/v1'),
  like('xai', 'https://api.x.ai/v1'),
]

const install: AgentInstall = {
  package: 'opencode-ai',
  version: '1.18.33',
  program: 'opencode',
  natives: (machine) => {
    const name = `opencode-${machine.platform}-${machine.arch}`
    const names = [name, `${name}-baseline`].flatMap((each) => withMusl(machine, each))
    return (machine.old ? names.filter((each) => each.includes('baseline')) : names).map(
      (each) => `${each}/bin/opencode`,
    )
  },
  megabytes: 360,
}

export const opencode: Agent = {
  name: 'opencode',
  title: 'OpenCode',
  install,
  keys: [
    'ANTHROPIC_API_KEY',
    'OPENAI_API_KEY',
    'OPENROUTER_API_KEY',
    'GEMINI_API_KEY',
    'GOOGLE_GENERATIVE_AI_API_KEY',
    'GROQ_API_KEY',
    'MISTRAL_API_KEY',
    'DEEPSEEK_API_KEY',
    'XAI_API_KEY',
    'OPENCODE_API_KEY',
  ],
  services,
  direct,
  settings: [...services.map(({ url }) => url), 'XDG_CONFIG_HOME', 'XDG_DATA_HOME'],
  folders: ['XDG_CONFIG_HOME', 'XDG_DATA_HOME'],
  signIn: (env) => [{ from: join(usersData(env), SIGN_IN), to: join('opencode', 'data', SIGN_IN) }],
  configuration: ['OPENCODE_CONFIG_CONTENT'],
  usage: 'last_call',
  locate: (places) => findProgram({ name: 'opencode', install, ...places }),
  launch: (request) => {
    const own = ownFolders(request)
    return {
      args: ['acp', ...request.extra_args],
      env: environment(request, own),
      files: [
        { path: retriesPlugin(request), content: RETRY_PLUGIN },
        ...(own ? nothingToInstall(join(own.XDG_CONFIG_HOME!, 'opencode')) : []),
      ],
    }
  },
  modelAt: (url, key) => ({
    env: { ANTHROPIC_BASE_URL: url, ANTHROPIC_API_KEY: key },
    model: 'anthropic/claude-sonnet-4-5',
  }),
  protocol: (request, port) => new AcpProtocol(profile, request, port),
}

/**
 * Returns files that make OpenCode believe that its settings folder already has the package with the types for plugins.
 * Otherwise its first start waits for npm's registry, for seconds, or for a minute if it cannot reach it.
 */
const nothingToInstall = (folder: string): { path: string; content: string }[] => [
  {
    path: join(folder, 'package-lock.json'),
    content: JSON.stringify({ packages: { '': { dependencies: { '@opencode-ai/plugin': '*' } } } }),
  },
  { path: join(folder, 'node_modules', '.keep'), content: '' },
]

function environment(request: SessionRequest, own: Record<string, string> | undefined): AgentLaunch['env'] {
  return {
    ...quiet,
    // A repository must not grant itself permissions for which a person must be asked.
    ...(request.ask === 'allow' ? {} : { OPENCODE_DISABLE_PROJECT_CONFIG: '1' }),
    ...(own ?? {}),
    OPENCODE_CONFIG_CONTENT: JSON.stringify(configuration(request, own !== undefined)),
  }
}

/** Returns separate folders for the session, or undefined if the user has configured OpenCode and that applies. */
function ownFolders({ env, home, apart }: SessionRequest): Record<string, string> | undefined {
  const config = env.XDG_CONFIG_HOME ?? join(env.HOME ?? home, '.config')
  const signs = [
    join(usersData({ HOME: home, ...env }), SIGN_IN),
    ...['opencode.json', 'opencode.jsonc', 'config.json'].map((name) => join(config, 'opencode', name)),
  ]
  const isSetUp = env.OPENCODE_CONFIG_CONTENT === undefined && signs.some((path) => existsSync(path))
  if (isSetUp && !apart) return undefined
  return Object.fromEntries(
    ['CONFIG', 'DATA', 'STATE', 'CACHE'].map((name) => [
      `XDG_${name}_HOME`,
      join(home, 'opencode', name.toLowerCase()),
    ]),
  )
}

/** Path of the sign-in below the data folder. */
const SIGN_IN = join('opencode', 'auth.json')

const usersData = ({ XDG_DATA_HOME, HOME }: Readonly<Record<string, string | undefined>>): string =>
  XDG_DATA_HOME ?? join(HOME || homedir(), '.local', 'share')

function configuration(request: SessionRequest, fresh: boolean): JsonObject {
  const { env, ask, model, cwd } = request
  const configured = ownConfiguration(env.OPENCODE_CONFIG_CONTENT)
  const permission = permissions(request)
  const build = object(object(configured.agent)?.build)
  return {
    ...configured,
    provider: { ...providers(env, model), ...object(configured.provider) },
    permission: { ...object(configured.permission), ...permission },
    plugin: [
      ...(Array.isArray(configured.plugin) ? configured.plugin : []),
      pathToFileURL(retriesPlugin(request)).href,
    ],
    ...(ask === 'allow'
      ? {}
      : {
          default_agent: 'build',
          agent: { ...object(configured.agent), build: { ...build, permission } },
          // Disabling the repository's configuration would also drop its instructions.
          instructions: [
            ...(Array.isArray(configured.instructions) ? configured.instructions : []),
            join(cwd, 'AGENTS.md'),
          ],
        }),
    // Without a model and a key, it would silently send everything to its maker's free model.
    ...(fresh && env.OPENCODE_API_KEY === undefined && configured.disabled_providers === undefined
      ? { disabled_providers: ['opencode'] }
      : {}),
  }
}

function ownConfiguration(text: string | undefined): JsonObject {
  if (text === undefined) return {}
  const parsed = parsedObject(text)
  if (parsed !== undefined) return parsed
  throw new ErrandError('invalid_argument', 'OPENCODE_CONFIG_CONTENT is not a JSON object.', {
    hint: 'Correct this variable of the step; see the configuration of OpenCode.',
  })
}

function permissions({ ask, asks_reading }: SessionRequest): Record<string, AskMode> {
  const changing = { edit: ask, bash: ask, webfetch: ask, websearch: ask, external_directory: ask }
  // By default it asks before it reads `.env`.
  const reading: Record<string, AskMode> = ask === 'allow' ? { read: ask } : {}
  if (ask === 'ask' && asks_reading) Object.assign(reading, { read: ask, grep: ask, glob: ask, list: ask })
  return {
    ...changing,
    ...reading,
    // A subagent's question reaches nobody, and it would wait forever.
    task: ask === 'allow' ? 'allow' : 'deny',
    // Only with `ask` can somebody answer its question about a tool that repeats itself.
    doom_loop: ask === 'ask' ? 'ask' : 'allow',
  }
}

/**
 * Returns providers with base URLs from the vendors' own variables, and an entry for a model that OpenCode may not
 * know.
 */
function providers(env: SessionRequest['env'], model: string | undefined): JsonObject {
  const [, requested, name] = /^([^/]+)\/(.+)$/.exec(model ?? '') ?? []
  const entry = (provider: string, url: string | undefined) =>
    url === undefined
      ? {}
      : {
          [provider]: {
            options: { baseURL: withVersion(url) },
            models: requested === provider && name !== undefined ? { [name]: {} } : {},
          },
        }
  return Object.assign({}, ...services.map(({ name: provider, url }) => entry(provider, string(env[url]))))
}

/** Returns services that the user's configuration defines, which bypass the proxy, and the variable if it has keys. */
function direct(env: SessionRequest['env']): { services: string[]; keys: string[] } {
  const text = env.OPENCODE_CONFIG_CONTENT
  if (text === undefined) return { services: [], keys: [] }
  const named = Object.keys(object(parsedObject(text)?.provider) ?? {})
  const hasKey = /"(\w*(key|token|secret|password|authorization))"\s*:/i.test(text)
  return { services: named, keys: hasKey ? ['OPENCODE_CONFIG_CONTENT'] : [] }
}

const withVersion = (url: string): string => {
  const base = url.replace(/\/+$/, '')
  return /\/v\d+$/.test(base) ? base : `${base}/v1`
}

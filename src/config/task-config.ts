import * as z from 'zod'
import { ErrandError } from '../contract/errors.ts'
import { DriverShape, type Pool } from '../contract/fleet/provisioning.ts'
import type { TaskInput } from '../contract/tasks/task.ts'
import { findingsOf, safeParse } from '../engine/workflow-file/issue-messages.ts'
import { parseYaml } from '../engine/workflow-file/parse.ts'
import { type Problem, Report, sortProblems } from '../engine/workflow-file/problems.ts'
import { type Env, findSetting, setting } from './read-setting.ts'

const url = z.url({ protocol: /^https?$/, error: 'must be a URL that begins with http:// or https://' })
const retries = z.number().int().min(0).max(20)
const variable = z
  .string()
  .regex(/^[A-Za-z_][A-Za-z0-9_]*$/, 'must be the name of a variable, such as GIT_TOKEN')

const BoundVolume = z.strictObject({ bind: z.string(), mode: z.enum(['ro', 'rw']).optional() })

/** The configuration of coding tasks, with the names and defaults of the earlier runner. */
const TaskConfigFile = z.strictObject({
  execution_mode: z.enum(['local-process', 'docker', 'kubernetes']).default('local-process'),
  task_registry_url: url.optional(),
  repo_pool_url: url.optional(),
  artifact_store_url: url.optional(),
  llm: z
    .strictObject({
      model: z.string().min(1).optional(),
      endpoint: url.optional(),
      timeout_seconds: z.number().positive().max(86_400).optional(),
      max_tokens: z.number().int().positive().optional(),
    })
    .default({}),
  default_timeout_seconds: z.number().positive().max(31_536_000).optional(),
  git_retry_count: retries.optional(),
  network_retry_count: retries.optional(),
  llm_retry_count: retries.optional(),
  max_memory_mb: z
    .number()
    .positive()
    .max(1024 ** 2)
    .optional(),
  max_cpu_percent: z.number().positive().max(100_000).optional(),
  log_level: z
    .string()
    .transform((level) => level.toLowerCase().replace(/^warning$/, 'warn'))
    .pipe(z.enum(['debug', 'info', 'warn', 'error']))
    .optional(),
  structured_logging: z.boolean().optional(),
  git_token_env_var: variable.optional(),
  llm_api_key_env_var: variable.optional(),
  mask_secrets: z.boolean().default(true),
  docker_image: z.string().optional(),
  docker_volumes: z
    .union([z.array(z.string()), z.record(z.string(), z.union([z.string(), BoundVolume]))], {
      error: 'must be a list such as [/srv/cache:/cache:ro], or {/srv/cache: {bind: /cache, mode: ro}}',
    })
    .optional(),
  k8s_namespace: z.string().optional(),
  k8s_image: z.string().optional(),
  k8s_secrets: z.union([z.array(z.string()), z.record(z.string(), z.string())]).optional(),
})

/** Defaults for coding tasks that do not set something themselves. */
export interface TaskConfig {
  /** Fields of a task; a task's own fields win. */
  task: Partial<TaskInput>
  /** Services that replace the hub's own. */
  services: { task_registry_url?: string; repo_pool_url?: string; artifact_store_url?: string }
  /** Variables that hold the token for repositories, and the key of the model. */
  git_token_env_var: string
  llm_api_key_env_var: string
  log_level?: 'debug' | 'info' | 'warn' | 'error'
  log_format?: 'text' | 'json'
  /** The settings for provisioning when each task has its own runner: by `docker` or `kubernetes`. */
  pool?: TaskPool
  /** Complaints about ignored content. */
  warnings: string[]
}

/** The settings of a group whose runners run tasks. */
export interface TaskPool extends Pick<Pool, 'provisioner' | 'volumes'> {
  image: string
  namespace?: string
  secrets?: string[]
}

/** The name of the hub's group for such a file. */
export const TASK_GROUP = 'coding-tasks'

const modes = {
  'local-process': [],
  docker: ['docker_image', 'docker_volumes'],
  kubernetes: ['k8s_namespace', 'k8s_image', 'k8s_secrets'],
} as const

/**
 * Reads the configuration from a file and the environment; variables win. Throws `invalid_argument` with every mistake
 * and its line.
 */
export function readTaskConfig(text: string, file: string, env: Env = {}): TaskConfig {
  const { value: read, locate, problems: faults } = parseYaml(text)
  const value = read ?? {}
  const problems: Problem[] = faults.map((fault) => ({ ...fault, file }))
  const report = new Report(value, { file, locate, problems })
  const parsed = safeParse(TaskConfigFile, value)
  if (!parsed.success)
    for (const finding of findingsOf(parsed.error.issues, TaskConfigFile, value)) report.found(finding)
  const pool = parsed.success ? poolOf(parsed.data, report) : undefined
  if (report.failed || !parsed.success) throw refusal(file, problems)
  return { ...configOf(parsed.data, file, env), ...(pool && { pool }) }
}

type TaskConfigValues = z.infer<typeof TaskConfigFile>

/**
 * Returns how the runners of tasks are provisioned; undefined: they exist already. Reports what is missing or does not
 * fit.
 */
function poolOf(values: TaskConfigValues, report: Report): TaskPool | undefined {
  const { execution_mode: mode, docker_volumes, k8s_namespace, k8s_secrets } = values
  if (mode === 'local-process') return undefined
  const key = mode === 'docker' ? 'docker_image' : 'k8s_image'
  const image = values[key]
  if (image === undefined)
    report.add(['execution_mode'], `execution_mode: ${mode} needs the image of its runners`, {
      at: 'key',
      hint: `add: ${key}: errand. Build such an image from deploy/Dockerfile`,
    })
  else if (!DriverShape.image.safeParse(image).success)
    report.say([key], 'is not a valid image name', {
      hint: 'write a name such as errand or registry.example.com/errand:1',
    })
  if (mode === 'kubernetes') {
    const secrets = Array.isArray(k8s_secrets) ? k8s_secrets : Object.values(k8s_secrets ?? {})
    return {
      ...{ provisioner: mode, image: image ?? '' },
      ...(k8s_namespace !== undefined && { namespace: k8s_namespace }),
      ...(secrets.length > 0 && { secrets }),
    }
  }
  const volumes = volumesOf(docker_volumes ?? [])
  for (const [index, { at, text }] of volumes.entries())
    if (!DriverShape.volumes.safeParse([text]).success)
      report.say(['docker_volumes', at ?? index], 'is not a volume such as /srv/cache:/cache:ro', {
        hint: 'write SOURCE:TARGET, with :ro if it is read-only; SOURCE is an absolute path or the name of a volume',
      })
  return {
    ...{ provisioner: mode, image: image ?? '' },
    ...(volumes.length > 0 && { volumes: volumes.map(({ text }) => text) }),
  }
}

/** Returns each volume in the syntax of Docker's command line; `at` is its key if the volumes are not a list. */
function volumesOf(values: NonNullable<TaskConfigValues['docker_volumes']>): { text: string; at?: string }[] {
  if (Array.isArray(values)) return values.map((text) => ({ text }))
  return Object.entries(values).map(([at, to]) => {
    const { bind, mode } = typeof to === 'string' ? { bind: to, mode: undefined } : to
    return { at, text: [at, bind, ...(mode === undefined ? [] : [mode])].join(':') }
  })
}

function configOf(values: TaskConfigValues, file: string, env: Env): TaskConfig {
  const { llm, max_memory_mb, max_cpu_percent, llm_retry_count, structured_logging, log_level } = values
  const warnings: string[] = []
  if (!values.mask_secrets)
    warnings.push(`${file}: mask_secrets: false is ignored. Secrets are masked in every log.`)
  const used: readonly string[] = modes[values.execution_mode]
  const unused = Object.values(modes)
    .flat()
    .filter((key) => values[key] !== undefined && !used.includes(key))
  if (unused.length > 0)
    warnings.push(
      `${file}: ${unused.join(', ')} ${unused.length === 1 ? 'is' : 'are'} not used with execution_mode: ${values.execution_mode}.`,
    )
  const limits = {
    ...(max_memory_mb !== undefined && { memory: `${max_memory_mb}MB` }),
    ...(max_cpu_percent !== undefined && { cpus: max_cpu_percent / 100 }),
  }
  return {
    task: withoutUnset({
      llm: { ...llm, ...(llm_retry_count !== undefined && { retry_count: llm_retry_count }) },
      timeout_seconds: setting(env, 'ERRAND_TASK_TIMEOUT') ?? values.default_timeout_seconds,
      git_retry_count: values.git_retry_count,
      network_retry_count: values.network_retry_count,
      limits: Object.keys(limits).length === 0 ? undefined : limits,
      // This is a maximum: a machine with fewer cores is fine.
      resources: max_cpu_percent === undefined ? undefined : { cpus: 0 },
      git_token_env_var: values.git_token_env_var,
      llm_api_key_env_var: values.llm_api_key_env_var,
    }),
    services: withoutUnset({
      task_registry_url: service(env, 'ERRAND_TASK_REGISTRY_URL') ?? values.task_registry_url,
      repo_pool_url: service(env, 'ERRAND_REPO_POOL_URL') ?? values.repo_pool_url,
      artifact_store_url: service(env, 'ERRAND_ARTIFACT_STORE_URL') ?? values.artifact_store_url,
    }),
    git_token_env_var: values.git_token_env_var ?? 'GIT_TOKEN',
    llm_api_key_env_var: values.llm_api_key_env_var ?? 'OPENAI_API_KEY',
    log_level: findSetting(env, 'ERRAND_LOG_LEVEL') ? setting(env, 'ERRAND_LOG_LEVEL') : log_level,
    log_format: structured_logging === undefined ? undefined : structured_logging ? 'json' : 'text',
    warnings,
  }
}

/** Adds the configuration for all tasks to a task, whose own fields win. */
export function withTaskConfig(task: TaskInput, { task: defaults }: Pick<TaskConfig, 'task'>): TaskInput {
  return {
    ...defaults,
    ...task,
    ...(defaults.llm && { llm: { ...defaults.llm, ...task.llm } }),
    ...(defaults.limits && { limits: { ...defaults.limits, ...task.limits } }),
    ...(defaults.resources && { resources: { ...defaults.resources, ...task.resources } }),
  }
}

/** Checks the address of a service. Throws `invalid_argument`. */
function service(
  env: Env,
  key: 'ERRAND_TASK_REGISTRY_URL' | 'ERRAND_REPO_POOL_URL' | 'ERRAND_ARTIFACT_STORE_URL',
): string | undefined {
  const found = findSetting(env, key)
  if (found === undefined || url.safeParse(found.value).success) return found?.value
  throw new ErrandError('invalid_argument', `${found.name} is "${found.value}", which is not a URL.`, {
    hint: 'Give a URL that begins with http:// or https://.',
  })
}

const withoutUnset = <T extends object>(fields: T): T =>
  Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as T

/** Reports whether a file is such a configuration, and not the hub's own. */
export const isTaskConfig = (value: unknown): boolean =>
  typeof value === 'object' && value !== null && 'execution_mode' in value

function refusal(file: string, problems: Problem[]): ErrandError {
  const errors = sortProblems(problems).filter(({ severity }) => severity === 'error')
  const { line, column, message, hint } = errors[0]!
  const place = line === undefined ? file : `${file}:${line}:${column}`
  const more = errors.length > 1 ? ` (and ${errors.length - 1} more)` : ''
  return new ErrandError('invalid_argument', `${place}: ${message}${more}.`, { hint, details: { problems } })
}

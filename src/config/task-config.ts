import * as z from 'zod'
import { ErrandError } from '../contract/errors.ts'
import type { TaskInput } from '../contract/tasks/task.ts'
import { parseYaml } from '../engine/workflow-file/parse.ts'
import { type Problem, Report, sortProblems } from '../engine/workflow-file/problems.ts'
import { findingsOf, safeParse } from '../engine/workflow-file/sentences.ts'
import { type Env, findSetting, setting } from './read-setting.ts'

const url = z.url({ protocol: /^https?$/, error: 'is a URL that begins with http:// or https://' })
const retries = z.number().int().min(0).max(20)
const variable = z.string().regex(/^[A-Za-z_][A-Za-z0-9_]*$/, 'is the name of a variable, such as GIT_TOKEN')

/** The configuration of coding tasks, with the names and defaults of the runner that they had before. */
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
  docker_volumes: z.union([z.array(z.string()), z.record(z.string(), z.unknown())]).optional(),
  k8s_namespace: z.string().optional(),
  k8s_image: z.string().optional(),
  k8s_secrets: z.union([z.array(z.string()), z.record(z.string(), z.string())]).optional(),
})

/** How coding tasks are carried out where they do not say so themselves. */
export interface TaskConfig {
  /** Fields of a task; those that it has itself count. */
  task: Partial<TaskInput>
  /** Services that are used instead of the hub's own. */
  services: { task_registry_url?: string; repo_pool_url?: string; artifact_store_url?: string }
  /** Variables that hold the token for repositories, and the key of the model. */
  git_token_env_var: string
  llm_api_key_env_var: string
  log_level?: 'debug' | 'info' | 'warn' | 'error'
  log_format?: 'text' | 'json'
  /** Complaints about what is passed over. */
  warnings: string[]
}

/**
 * The configuration in a file and in the environment, whose variables count. Throws `invalid_argument` with every mistake and its
 * line, and for a way of carrying tasks out that is not there yet.
 */
export function readTaskConfig(text: string, file: string, env: Env = {}): TaskConfig {
  const { value: read, locate, problems: faults } = parseYaml(text)
  const value = read ?? {}
  const problems: Problem[] = faults.map((fault) => ({ ...fault, file }))
  const report = new Report(value, { file, locate, problems })
  const parsed = safeParse(TaskConfigFile, value)
  if (!parsed.success)
    for (const finding of findingsOf(parsed.error.issues, TaskConfigFile, value)) report.found(finding)
  if (report.failed || !parsed.success) throw refusal(file, problems)
  const given = parsed.data
  if (given.execution_mode !== 'local-process')
    throw new ErrandError(
      'invalid_argument',
      `${file}: execution_mode "${given.execution_mode}" cannot be used yet.`,
      {
        hint: 'Write execution_mode: local-process. Runners in containers and pods are still to come; for a step in a container give the task isolation: container.',
      },
    )
  return configOf(given, file, env)
}

function configOf(given: z.infer<typeof TaskConfigFile>, file: string, env: Env): TaskConfig {
  const { llm, max_memory_mb, max_cpu_percent, llm_retry_count, structured_logging, log_level } = given
  const warnings: string[] = []
  if (!given.mask_secrets)
    warnings.push(`${file}: mask_secrets: false is passed over. Secrets are masked in every log.`)
  const foreign = ['docker_image', 'docker_volumes', 'k8s_namespace', 'k8s_image', 'k8s_secrets'] as const
  const unused = foreign.filter((key) => given[key] !== undefined)
  if (unused.length > 0)
    warnings.push(`${file}: ${unused.join(', ')} are not used with execution_mode: local-process.`)
  const limits = {
    ...(max_memory_mb !== undefined && { memory: `${max_memory_mb}MB` }),
    ...(max_cpu_percent !== undefined && { cpus: max_cpu_percent / 100 }),
  }
  return {
    task: withoutUnset({
      llm: { ...llm, ...(llm_retry_count !== undefined && { retry_count: llm_retry_count }) },
      timeout_seconds: setting(env, 'ERRAND_TASK_TIMEOUT') ?? given.default_timeout_seconds,
      git_retry_count: given.git_retry_count,
      network_retry_count: given.network_retry_count,
      limits: Object.keys(limits).length === 0 ? undefined : limits,
      git_token_env_var: given.git_token_env_var,
      llm_api_key_env_var: given.llm_api_key_env_var,
    }),
    services: withoutUnset({
      task_registry_url: service(env, 'ERRAND_TASK_REGISTRY_URL') ?? given.task_registry_url,
      repo_pool_url: service(env, 'ERRAND_REPO_POOL_URL') ?? given.repo_pool_url,
      artifact_store_url: service(env, 'ERRAND_ARTIFACT_STORE_URL') ?? given.artifact_store_url,
    }),
    git_token_env_var: given.git_token_env_var ?? 'GIT_TOKEN',
    llm_api_key_env_var: given.llm_api_key_env_var ?? 'OPENAI_API_KEY',
    log_level: findSetting(env, 'ERRAND_LOG_LEVEL') ? setting(env, 'ERRAND_LOG_LEVEL') : log_level,
    log_format: structured_logging === undefined ? undefined : structured_logging ? 'json' : 'text',
    warnings,
  }
}

/** The task with what the configuration says of all tasks; what it says itself counts. */
export function withTaskConfig(task: TaskInput, { task: defaults }: Pick<TaskConfig, 'task'>): TaskInput {
  return {
    ...defaults,
    ...task,
    ...(defaults.llm && { llm: { ...defaults.llm, ...task.llm } }),
    ...(defaults.limits && { limits: { ...defaults.limits, ...task.limits } }),
  }
}

/** Throws `invalid_argument`. */
function service(
  env: Env,
  key: 'ERRAND_TASK_REGISTRY_URL' | 'ERRAND_REPO_POOL_URL' | 'ERRAND_ARTIFACT_STORE_URL',
): string | undefined {
  const found = findSetting(env, key)
  if (found === undefined || url.safeParse(found.value).success) return found?.value
  throw new ErrandError('invalid_argument', `${found.name} is "${found.value}".`, {
    hint: 'It is a URL that begins with http:// or https://.',
  })
}

const withoutUnset = <T extends object>(fields: T): T =>
  Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as T

function refusal(file: string, problems: Problem[]): ErrandError {
  const errors = sortProblems(problems).filter(({ severity }) => severity === 'error')
  const { line, column, message, hint } = errors[0]!
  const place = line === undefined ? file : `${file}:${line}:${column}`
  const more = errors.length > 1 ? ` (and ${errors.length - 1} more)` : ''
  return new ErrandError('invalid_argument', `${place}: ${message}${more}.`, { hint, details: { problems } })
}

import { execFile } from 'node:child_process'
import { ErrandError } from '../../contract/errors.ts'
import type { AgentInstall } from '../agent.ts'

const passed = new Set(
  [
    ...['PATH', 'HOME', 'USER', 'LANG', 'TMPDIR', 'TEMP', 'TMP', 'APPDATA', 'LOCALAPPDATA', 'SYSTEMROOT'],
    ...['HTTP_PROXY', 'HTTPS_PROXY', 'ALL_PROXY', 'NO_PROXY'],
    ...['NODE_EXTRA_CA_CERTS', 'SSL_CERT_FILE', 'SSL_CERT_DIR'],
    ...[
      'registry',
      'userconfig',
      'globalconfig',
      'cache',
      'cafile',
      'proxy',
      'https_proxy',
      'noproxy',
      'strict_ssl',
    ].map((name) => `npm_config_${name}`),
  ].map((name) => name.toUpperCase()),
)

/** Returns only the variables that npm needs to reach its registry, without keys and secrets. */
export const npmEnvironment = (env: NodeJS.ProcessEnv): NodeJS.ProcessEnv =>
  Object.fromEntries(Object.entries(env).filter(([name]) => passed.has(name.toUpperCase())))

/** Installs the pinned package into `<folder>/node_modules` without running its scripts. */
export async function npmInstall(
  install: AgentInstall,
  folder: string,
  env: NodeJS.ProcessEnv,
  signal?: AbortSignal,
): Promise<void> {
  const args = [
    ...['install', '--prefix', folder, '--save-exact', '--ignore-scripts', '--include=optional'],
    ...['--no-audit', '--no-fund', '--no-progress', '--no-update-notifier', '--loglevel=error'],
    ...['--fetch-retries=2', '--fetch-retry-mintimeout=500', '--fetch-retry-maxtimeout=5000'],
    ...['--', `${install.package}@${install.version}`],
  ]
  await new Promise<void>((resolve, reject) => {
    const options = { cwd: folder, env: npmEnvironment(env), signal, maxBuffer: 16 << 20 }
    const child = execFile('npm', args, options, (error, _stdout, stderr) => {
      if (error === null) resolve()
      else reject(signal?.aborted ? error : asErrandError(error, stderr, install, folder))
    })
    child.stdin?.end()
  })
}

/** Converts an error of npm; this is the only place that interprets npm's messages. */
function asErrandError(
  error: { code?: string | number | null; message: string },
  stderr: string,
  install: AgentInstall,
  folder: string,
): ErrandError {
  const what = `${install.package}@${install.version} could not be installed`
  const code = /^npm (?:error|ERR!) code (\S+)/m.exec(stderr)?.[1] ?? ''
  if (error.code === 'ENOENT') {
    const hint = 'Install Node.js with npm, and check that npm is on PATH.'
    return new ErrandError('unavailable', `${what}: npm is not on PATH`, { hint, cause: error })
  }
  // After npm's own stack trace, the same error follows once more, as Node prints it.
  const [words = ''] = stderr.split(/^npm (?:error|ERR!) {5}at /m, 1)
  const text = words
    .split('\n')
    .map((line) => line.replace(/^npm (?:error|ERR!) ?/, ''))
    .filter((line) => line !== '' && !/^(code|errno|syscall) |complete log of this run/.test(line))
    .slice(0, 4)
    .join(' ')
    .slice(0, 500)
  const is = (...codes: string[]): boolean => codes.includes(code)
  if (
    is(
      'ENOTFOUND',
      'ECONNREFUSED',
      'ECONNRESET',
      'ETIMEDOUT',
      'EAI_AGAIN',
      'ENETUNREACH',
      'EHOSTUNREACH',
      'ERR_SOCKET_TIMEOUT',
      'FETCH_ERROR',
    )
  ) {
    const hint =
      'Connect this machine to the network, or point npm at a registry or proxy it can reach (npm config).'
    return new ErrandError('unavailable', `${what}: the npm registry is not reachable (${code}): ${text}`, {
      hint,
      cause: error,
    })
  }
  if (is('E404', 'ETARGET')) {
    const hint = 'Check which registry npm uses: npm config get registry'
    return new ErrandError('not_found', `${what}: the npm registry does not have it (${code}): ${text}`, {
      hint,
      cause: error,
    })
  }
  if (is('ENOSPC', 'EDQUOT')) {
    const hint =
      'Free some space there or in the npm cache (npm cache clean --force), or set ERRAND_AGENTS_DIR to a folder on another disk.'
    return new ErrandError('disk_full', `${what}: the disk of ${folder} or of the npm cache is full`, {
      hint,
      cause: error,
    })
  }
  return new ErrandError(
    'unavailable',
    `${what}: npm failed${code === '' ? '' : ` with ${code}`}: ${text || error.message}`,
    { hint: 'Fix the problem that npm reports, and try again.', cause: error },
  )
}

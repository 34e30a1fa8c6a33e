import { execFile } from 'node:child_process'

/** What the program answers to `--version`. Throws, saying why in a few words, where that is no version. */
export async function programVersion(
  path: string,
  env: NodeJS.ProcessEnv,
  signal?: AbortSignal,
): Promise<string> {
  const timeoutMs = 60_000
  const text = await new Promise<string>((resolve, reject) => {
    const options = { env, timeout: timeoutMs, killSignal: 'SIGKILL', signal, maxBuffer: 1 << 20 } as const
    const child = execFile(path, ['--version'], options, (error, stdout, stderr) => {
      if (error === null) return resolve(`${stdout}\n${stderr}`)
      if (signal?.aborted) return reject(error)
      const tail = stderr.trim().split('\n').at(-1)
      const how =
        typeof error.code === 'number'
          ? `exits with code ${error.code}`
          : error.killed
            ? `does not answer within ${timeoutMs / 1000} s`
            : error.signal
              ? `is killed by ${error.signal}`
              : `does not start: ${error.message}`
      reject(new Error(`"${path} --version" ${how}${tail ? `: ${tail.slice(0, 300)}` : ''}`))
    })
    child.stdin?.end()
  })
  const version = /\d+\.\d+\.\d+[\w.+-]*/.exec(text)?.[0].replace(/\.$/, '')
  if (version === undefined)
    throw new Error(`"${path} --version" tells no version: ${text.trim().slice(0, 200)}`)
  return version
}

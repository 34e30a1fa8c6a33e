// The image's health check: a hub answers on its own port; a runner, which is told a hub, reaches that one.
const { env } = process
const hub = env.ERRAND_HUB_URL || env.ADOS_API_URL || env.ORCHESTRATOR_URL
const port = /:(\d+)$/.exec(env.ERRAND_ADDR || env.OPENRUNNER_ADDR || '')?.[1] ?? '3000'
const url = new URL('health', hub ? `${hub.replace(/\/*$/, '')}/` : `http://127.0.0.1:${port}/`)
try {
  const { status } = await fetch(url, { signal: AbortSignal.timeout(8000) })
  if (status !== 200) throw new Error(`answers ${status}`)
} catch (error) {
  console.error(`${url}: ${error.cause?.message ?? error.message}`)
  process.exitCode = 1
}

/** Environment variables that hold a token of Errand itself, by all their names. */
export const tokenVariables: readonly string[] = [
  'ERRAND_TOKEN',
  'ADOS_TOKEN',
  'WORKER_TOKEN',
  'AVTOMATIKA_TOKEN',
  'ERRAND_ENROLL_TOKEN',
  // The hub's own, which it tells its own runner for the runner to mask.
  'ERRAND_LOCAL_TOKEN',
]

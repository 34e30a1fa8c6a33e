/** Environment variables that hold a token of Errand itself, by all their names. */
export const tokenVariables: readonly string[] = [
  'ERRAND_TOKEN',
  'ADOS_TOKEN',
  'WORKER_TOKEN',
  'AVTOMATIKA_TOKEN',
  'ERRAND_ENROLL_TOKEN',
]

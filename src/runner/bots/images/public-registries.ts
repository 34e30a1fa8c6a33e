/**
 * Registries of large providers. A registry tells the engine where to fetch tokens and layers from, and the engine goes
 * there, whatever the address: one that a user runs could have it ask this machine's network.
 */
const REGISTRIES = [
  'docker.io',
  'ghcr.io',
  'quay.io',
  'gcr.io',
  'mcr.microsoft.com',
  'public.ecr.aws',
  'registry.gitlab.com',
  'registry.k8s.io',
  'registry.access.redhat.com',
  'registry.redhat.io',
  'registry.digitalocean.com',
  'registry.heroku.com',
  'nvcr.io',
  'lscr.io',
  'cr.yandex',
]
/** Of providers that give each customer a name. */
const CUSTOMERS =
  /^[a-z0-9-]+\.(?:gcr\.io|azurecr\.io|jfrog\.io)$|^[a-z0-9-]+-docker\.pkg\.dev$|^\d{12}\.dkr\.ecr\.[a-z0-9-]+\.amazonaws\.com$/

export const isPublicRegistry = (host: string): boolean => REGISTRIES.includes(host) || CUSTOMERS.test(host)

/** The meaning of a failed request: `again` where the next try may do better, or the request may have arrived. */
export interface ConnectFailure {
  again: boolean
  /** Continues "Host … ": "refused the connection". */
  message: string
}

const certain: Record<string, string> = {
  ECONNREFUSED: 'refused the connection: nothing listens there',
  ENOTFOUND: 'has a name that cannot be resolved',
  EHOSTUNREACH: 'cannot be reached over the network',
  ENETUNREACH: 'cannot be reached over the network',
  EADDRNOTAVAIL: 'has an address that cannot be connected to',
  CERT_HAS_EXPIRED: 'shows a certificate that has expired',
  DEPTH_ZERO_SELF_SIGNED_CERT:
    'shows a certificate that is not trusted (NODE_EXTRA_CA_CERTS names a file of those that are)',
  SELF_SIGNED_CERT_IN_CHAIN:
    'shows a certificate that is not trusted (NODE_EXTRA_CA_CERTS names a file of those that are)',
  UNABLE_TO_VERIFY_LEAF_SIGNATURE:
    'shows a certificate that is not trusted (NODE_EXTRA_CA_CERTS names a file of those that are)',
  ERR_TLS_CERT_ALTNAME_INVALID: 'shows a certificate for another name',
  EPROTO: 'does not speak TLS: write http:// in its address',
}
const passing: Record<string, string> = {
  ECONNRESET: 'broke the connection',
  EPIPE: 'broke the connection',
  ETIMEDOUT: 'did not take the connection in time',
  EAI_AGAIN: 'has a name that cannot be resolved at the moment',
}

/** Reads the error of a Node socket or request. */
export function connectFailure(error: NodeJS.ErrnoException): ConnectFailure {
  const known = certain[error.code ?? '']
  if (known !== undefined) return { again: false, message: known }
  if (error.code?.startsWith('HPE_')) return { again: false, message: 'does not speak HTTP' }
  return { again: true, message: passing[error.code ?? ''] ?? `could not be talked to: ${error.message}` }
}

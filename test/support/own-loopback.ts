/** Whether all of 127.0.0.0/8 is this machine's without further ado. */
export const ownLoopback = process.platform === 'linux'

/** Tests that need it say so in their names where it is not. */
export const LOOPBACK_NOTE = ownLoopback ? '' : ' (NOT RUN: needs 127.0.0.2, which only Linux has from the start)'

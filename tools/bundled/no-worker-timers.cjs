// In place of `worker-timers` in the bundle, which Node never uses.
const unused = () => {
  throw new Error('broken invariant: timers of a worker are for browsers');
};
module.exports = { setInterval: unused, clearInterval: unused };

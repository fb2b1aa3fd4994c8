// In place of `lru-cache` in the bundle, which MQTT.js makes for topic aliases alone.
class LRUCache {
  constructor() {
    throw new Error('broken invariant: topic aliases are for MQTT 5');
  }
}
module.exports = { LRUCache };

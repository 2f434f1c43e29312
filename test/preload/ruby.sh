#!/bin/bash
# ruby: threads and processes that allocate at once, a collection by force after each step, the C
# extensions of its standard library (json, zlib, openssl, psych, socket), a compaction.
source "$(dirname "$0")/lib.sh"
need ruby ruby
limit=60
cat >work.rb <<'RB'
require "digest"
require "json"
require "openssl"
require "set"
require "socket"
require "yaml"
require "zlib"

random = Random.new(4)
records = Array.new(8_000) do |i|
  { "id" => i, "name" => "n#{i}" * (i % 40), "tags" => Array.new(i % 7) { |j| "t#{j}" },
    "x" => random.rand, "big" => 3**(i % 300) }
end
text = JSON.generate(records)
puts "json #{text.size} #{JSON.parse(text) == records}"
packed = Zlib.deflate(text, 9)
puts "zlib #{packed.size} #{Zlib.inflate(packed) == text}"
puts "digest #{Digest::SHA256.hexdigest(text)}"
yaml = records.first(500).to_yaml
puts "yaml #{yaml.size} #{YAML.load(yaml) == records.first(500)}"
GC.start
words = text.scan(/[a-z]+\d*/)
puts "scan #{words.size} #{words.tally.max_by { |w, n| [n, w] }.inspect}"
puts "gsub #{text.gsub(/t(\d)/) { "<#{$1}>" }.hash == text.gsub(/t(\d)/, '<\1>').hash}"
puts "bignum #{(2**40_000).to_s.size} #{Integer.sqrt(2 * 10**800)}"
puts "set #{Set.new(words).size} #{words.uniq.map(&:to_sym).size}"

cipher = OpenSSL::Cipher.new("aes-256-gcm").encrypt
cipher.key = "k" * 32
cipher.iv = "i" * 12
sealed = cipher.update(text) + cipher.final
puts "openssl #{Digest::SHA256.hexdigest(sealed)}"

# Threads hand strings to each other, as long as a request each; a collection runs beside them.
queue = SizedQueue.new(50)
done = Queue.new
makers = Array.new(4) do |t|
  Thread.new { 3000.times { |i| queue << "#{t}:#{i}:" + "x" * (i * 37 % 3000) } }
end
takers = Array.new(4) { Thread.new { while (s = queue.pop) != :end do done << s.size end } }
20.times { GC.start(full_mark: false); Thread.pass }
makers.each(&:join)
4.times { queue << :end }
takers.each(&:join)
puts "threads #{done.size} #{Array.new(done.size) { done.pop }.sum}"
puts "short threads #{Array.new(300) { |i| Thread.new { "a" * i * 100 } }.sum { |t| t.value.size }}"

# Children that are forked while other threads allocate.
busy = true
noise = Array.new(2) do
  Thread.new { 50.times { "n" * rand(10_000) } while busy && sleep(0.001) }
end
sums = Array.new(12) do |i|
  reader, writer = IO.pipe
  fork do
    reader.close
    GC.start
    writer.write(JSON.generate(records.select { |r| r["id"] % 12 == i }).sum.to_s)
    writer.close
    exit!(0)
  end
  writer.close
  reader
end.map { |r| r.read.to_i }
puts "forks #{sums.sum} #{Process.waitall.all? { |_, s| s.success? }}"
busy = false
noise.each(&:join)
puts "spawned #{`echo from a shell`.strip}"

UNIXSocket.pair do |a, b|
  reader = Thread.new { b.read.size }
  20.times { a.write(text[0, 100_000]) }
  a.close
  puts "socket #{reader.value}"
end
GC.compact if GC.respond_to?(:compact)
puts "still right #{JSON.generate(records) == text}"
RB
twice ruby ../work.rb
printed "threads 12000 18073560" "short threads 4485000" "socket 2000000" "still right true"
under_moat 'ruby.*'
passed

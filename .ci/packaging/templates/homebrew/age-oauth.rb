class AgeOauth < Formula
  desc "<<summary>>"
  homepage "<<homepage>>"
  version "<<version>>"
  license any_of: ["MIT", "Apache-2.0"]

  depends_on :linux

  on_linux do
    on_intel do
      url "<<url>>/age-oauth-<<version>>-x86_64-unknown-linux-musl.tar.gz"
      sha256 "<<sha256 age-oauth-VERSION-x86_64-unknown-linux-musl.tar.gz>>"
    end
    on_arm do
      url "<<url>>/age-oauth-<<version>>-aarch64-unknown-linux-musl.tar.gz"
      sha256 "<<sha256 age-oauth-VERSION-aarch64-unknown-linux-musl.tar.gz>>"
    end
  end

  def install
    bin.install "age-oauth"
    man1.install Dir["man/man1/*.1"]
    bash_completion.install "completions/bash" => "age-oauth"
    zsh_completion.install "completions/zsh" => "_age-oauth"
    fish_completion.install "completions/fish" => "age-oauth.fish"
  end

  test do
    assert_equal "age-oauth #{version}", shell_output("#{bin}/age-oauth --version").strip
  end
end
